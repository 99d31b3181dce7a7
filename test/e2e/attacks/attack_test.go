// Package attacks tries to get at the token of a Connector, on the real clusters, as
// everybody who has some business near it. Each file but a few is one attack: who
// tries what, and what comes of it. docs/security.md has the same as a table.
package attacks

import (
	"context"
	"testing"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

// outcome is what comes of an attack.
type outcome string

const (
	// prevented: it is refused, or there is nothing to be found.
	prevented outcome = "prevented"
	// harmless: it works, and does not lead to the token.
	harmless outcome = "harmless"
	// notPrevented: it leads to the token, or to its use, and the product cannot
	// help it. The documents say what to set against it.
	notPrevented outcome = "not prevented"
)

// attack is one thing that somebody tries.
type attack struct {
	// name is that of the file.
	name    string
	actor   string
	tries   string
	outcome outcome
	// what must happen, in a few words.
	what string
	// alone: it would be in the way of others, and has a namespace of its own.
	alone bool
	run   func(t *testing.T, s *scene)
}

// The actors.
const (
	app       = "an app container, as root with NET_RAW"
	aside     = "a container beside the app, without the kubeconfig"
	neighbour = "a Pod beside it on the node"
	stranger  = "a Pod of another namespace"
	creator   = "who may create Pods in the namespace"
	debugger  = "who may exec, attach or debug in the namespace"
	editor    = "who may write Connectors, and not read Secrets"
	admin     = "an admin of the namespace who may not read Secrets"
	authority = "who may write the Secret with the Connector's CA, and create Pods"
	reader    = "who may read everything but Secrets"
	inside    = "who gets into the sidecar's container"
	node      = "who gets to be root on the node"
)

// attacks are all of them, in the order of their files.
var attacks []attack

// declare adds an attack to the suite.
func declare(a attack) struct{} { //nolint:unparam // what it returns is for var _ =
	attacks = append(attacks, a)
	return struct{}{}
}

// attackerImage is the toolbox with the program attacker in it.
const attackerImage = "kube-connector/attacker:dev"

func TestMain(m *testing.M) {
	bed.Main(m, nil, func(ctx context.Context) error {
		return bed.BuildImage(ctx, attackerImage, "./attacker")
	})
}

func TestAttacks(t *testing.T) {
	shared := newStage(t)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			s := &scene{stage: shared}
			if a.alone {
				s.stage = newStage(t)
			}
			a.run(t, s)
			s.check(t)
		})
	}
}
