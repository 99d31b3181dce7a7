// Demo shows Kubernetes Connector to somebody who has never heard of it, on two
// real clusters that it brings up on this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kube-connector/kube-connector/test/cluster"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	fmt.Fprintln(out, introduction)
	c, err := cluster.Up(ctx, cluster.Config{Name: "demo", Progress: out})
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil { // interrupted: leave nothing behind
			err = errors.Join(err, c.Down(context.WithoutCancel(ctx)), cluster.RemoveAccess(c.Name))
		}
	}()
	dir, err := c.WriteAccess()
	if err != nil {
		return err
	}
	if err := c.Install(ctx); err != nil {
		return err
	}
	s := &story{out: out, clusters: c, dir: dir}
	for _, chapter := range []func(context.Context) error{
		s.prepareTarget, s.connect, s.runJob, s.runPublished, s.searchToken, s.rotate,
	} {
		if err := chapter(ctx); err != nil {
			return fmt.Errorf("%w\nthe clusters are up, to look into it; make demo-down removes them", err)
		}
	}
	fmt.Fprintf(out, ending, time.Since(began).Round(time.Second), dir)
	return nil
}

const introduction = `Kubernetes Connector: Pods use another cluster and never hold its token.

This demo brings two real clusters up on this machine: "home", where Pods run,
and "target", which they are to use. Then it installs Kubernetes Connector into
home and shows what a team would do.`

const ending = `
That was the demo, in %s. Both clusters are up. To try more:

  export KUBECONFIG=%[2]s/home.kubeconfig
  %[2]s/kubectl get connectors -A                           # does it work, and if not, why
  %[2]s/kubectl -n team-a exec deploy/app -- kubectl get ns  # the app, in the target cluster
  %[2]s/kubectl -n team-a logs deploy/app -c connector-proxy # what the sidecar says
  %[2]s/kubectl -n team-a delete secret k8s-secret           # break it, and look again

  make demo-down                                             # remove everything
`
