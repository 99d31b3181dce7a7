// Package e2e tests the product as its users have it: installed on a real
// cluster with a real node, pointed at a second real cluster.
package e2e

import (
	"context"
	"testing"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kube-connector/kube-connector/test/cluster"
	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

// What this package has from bed, under short names. The clusters are there once
// TestMain has brought them up.
var (
	clusters     *cluster.Cluster
	home, target client.WithWatch
	homeSet      kubernetes.Interface

	eventually      = bed.Eventually
	newNamespace    = bed.NewNamespace
	exempt          = bed.Exempt
	makeNamespace   = bed.MakeNamespace
	create          = bed.Create
	newIdentity     = bed.NewIdentity
	tokenSecret     = bed.TokenSecret
	newConnector    = bed.NewConnector
	makeConnector   = bed.MakeConnector
	connectorObject = bed.ConnectorObject
	awaitReady      = bed.AwaitReady
	asks            = bed.Asks
	sleeper         = bed.Sleeper
	awaitPod        = bed.AwaitPod
	running         = bed.Running
	execute         = bed.Execute
	logs            = bed.Logs
	processOf       = bed.ProcessOf
)

const (
	patience = bed.Patience
	interval = bed.Interval
)

type identity = bed.Identity

func TestMain(m *testing.M) {
	bed.Main(m, installClients, func(context.Context) error {
		clusters, home, target, homeSet = bed.Clusters, bed.Home, bed.Target, bed.HomeSet
		return nil
	})
}
