package cluster

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// StopTarget ends the target's API server as a crash does, and returns when it has
// ended: asked to end, it would wait for its watches for a minute. Its etcd stays.
// Start starts it again, and returns when it is ready.
func (c *Cluster) StopTarget(ctx context.Context) (start func(context.Context) error, err error) {
	if c.targetServer == nil {
		return nil, fmt.Errorf("cluster %s was not brought up by this process, which cannot tell when a part of it ends", c.Name)
	}
	select {
	case <-c.targetServer.ended:
		return nil, errors.New("the target's API server is not running")
	default:
	}
	if err := syscall.Kill(c.targetServer.pid, syscall.SIGKILL); err != nil {
		return nil, fmt.Errorf("end the target's API server: %w", err)
	}
	select {
	case <-c.targetServer.ended:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return func(ctx context.Context) error {
		var err error
		if c.targetServer, err = c.target.startServer(); err != nil {
			return err
		}
		return c.targetServer.await(ctx, readyTimeout, c.Target.ready)
	}, nil
}
