// Command webhook serves the admission of Pods: it injects the sidecar and the
// kubeconfig into those that name Connectors.
package main

import (
	"os"

	"github.com/kube-connector/kube-connector/internal/program"
)

func main() { os.Exit(program.Main("webhook", run)) }
