// Attacker is what an attacker brings along into a container for what a shell cannot
// do. It prints all that it gets hold of. Everything it does is bounded, and meant
// for the network namespaces of Pods.
package main

import (
	"fmt"
	"os"
	"strings"
)

// commands are what it can do, by name, with the arguments that follow.
var commands = map[string]func(args []string) error{
	"send":   send,
	"steal":  steal,
	"sniff":  sniff,
	"arp":    arp,
	"dns":    dns,
	"ptrace": ptrace,
}

func main() {
	command := func([]string) error {
		return fmt.Errorf("usage: attacker COMMAND ARGUMENT..., not %q", strings.Join(os.Args[1:], " "))
	}
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		command = commands[os.Args[1]]
	}
	if err := command(os.Args[min(2, len(os.Args)):]); err != nil {
		fmt.Fprintln(os.Stderr, "attacker:", err)
		os.Exit(1)
	}
}
