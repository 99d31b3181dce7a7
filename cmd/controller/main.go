// Command controller checks Connectors and says in their status whether they
// work.
package main

import (
	"os"

	// Images without a certificate store still trust public certificates.
	_ "golang.org/x/crypto/x509roots/fallback"

	"github.com/kube-connector/kube-connector/internal/program"
)

func main() { os.Exit(program.Main("controller", run)) }
