package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config says which instance to bring up.
type Config struct {
	// Name is the instance: "demo", which people use, or "test".
	Name string
	// Progress is told what happens, a line at a time; nil is fine.
	Progress io.Writer
}

// Cluster is an instance that is up.
type Cluster struct {
	// Name is the instance's.
	Name string
	// Home runs Pods; Target is what Connectors point at.
	Home, Target *API
	// Kubectl is the path of a kubectl of the clusters' version.
	Kubectl string

	instance instance
	progress io.Writer
	// lock is nil for an instance that was attached to.
	lock *lock
	// targetServer is the target's API server, and target what starts it.
	targetServer *process
	target       controlPlane
}

// state is what Attach needs to know beyond the instance's name.
type state struct {
	Binaries string `json:"binaries"`
}

// Up brings an instance up, after removing whatever is left of an earlier one
// of that name. It returns when Pods can run. If it fails, or ctx is cancelled,
// it leaves nothing behind.
//
// The instance stays locked for others until this process ends or calls Down;
// the processes of the instance go on without this one.
func Up(ctx context.Context, config Config) (*Cluster, error) {
	i, err := newInstance(config.Name)
	if err != nil {
		return nil, err
	}
	if err := checkRoot(); err != nil {
		return nil, err
	}
	l, err := lockInstance(ctx, i)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Name: i.name, instance: i, progress: synchronized(config.Progress), lock: l}
	if err := c.up(ctx); err != nil {
		err = fmt.Errorf("cluster %s: %w", i.name, err)
		// ctx may be why it failed.
		return nil, errors.Join(err, c.Down(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// releaseTimeout is how long the lock of a process that was killed may stay: one
// that it had just forked has it until that begins its own program.
const releaseTimeout = 2 * time.Second

// lockInstance keeps everybody else from changing the instance.
func lockInstance(ctx context.Context, i instance) (l *lock, err error) {
	err = poll(ctx, releaseTimeout, func(context.Context) error {
		l, err = tryLock(i.lockFile())
		return err
	})
	if held := (*heldError)(nil); errors.As(err, &held) {
		return nil, fmt.Errorf("cluster %s is in use by %s; wait for it to end, or end it", i.name, held.holder)
	}
	return l, err
}

func (c *Cluster) up(ctx context.Context) error {
	if err := prepareMachine(ctx, c.progress); err != nil {
		return err
	}
	binaries, err := Binaries(ctx, c.progress)
	if err != nil {
		return err
	}
	began := time.Now()
	i := c.instance
	if err := remove(ctx, i); err != nil {
		return fmt.Errorf("remove what an earlier run left: %w", err)
	}
	for _, dir := range []string{i.dataDir(), i.runDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := errors.Join(makeNetwork(ctx, i), makeCgroup(i)); err != nil {
		return err
	}
	if err := c.startAll(ctx, binaries); err != nil {
		return err
	}
	content, err := json.Marshal(state{Binaries: binaries})
	if err != nil {
		return err
	}
	c.Kubectl = filepath.Join(binaries, "kubectl")
	// Last: its being there says that all the rest is.
	if err := writeFiles(i.runDir(), map[string][]byte{filepath.Base(i.state()): content}); err != nil {
		return err
	}
	fmt.Fprintf(c.progress, "cluster %s is up after %s\n", c.Name, time.Since(began).Round(100*time.Millisecond))
	return nil
}

// startAll starts the two control planes and the node side by side.
func (c *Cluster) startAll(ctx context.Context, binaries string) error {
	i := c.instance
	home := controlPlane{instance: i, name: "home", netns: i.homeNet(), ip: i.homeIP(), binaries: binaries}
	target := controlPlane{instance: i, name: "target", netns: i.tgtNet(), ip: i.targetIP(), binaries: binaries}
	n := node{home}

	ca, err := home.writeCredentials()
	if err != nil {
		return err
	}
	if err := n.writeConfig(ca); err != nil {
		return err
	}
	if _, err := target.writeCredentials(); err != nil {
		return err
	}
	c.target = target
	return together(ctx,
		func(ctx context.Context) (err error) {
			if c.Target, c.targetServer, err = target.startAPI(ctx); err != nil {
				return err
			}
			controllers, err := target.startControllers()
			if err != nil {
				return err
			}
			if err := controllers.await(ctx, readyTimeout, c.Target.hasDefaultServiceAccount); err != nil {
				return err
			}
			fmt.Fprintf(c.progress, "target: %s is ready\n", c.Target.Address)
			return nil
		},
		func(ctx context.Context) (err error) { return c.startHome(ctx, home, n) },
	)
}

func (c *Cluster) startHome(ctx context.Context, home controlPlane, n node) error {
	runtimeUp := make(chan *process, 1)
	return together(ctx,
		func(ctx context.Context) error {
			runtime, err := n.startRuntime(ctx)
			if err != nil {
				return err
			}
			runtimeUp <- runtime
			return loadOwnImages(ctx, c.instance, home.binaries)
		},
		func(ctx context.Context) (err error) {
			if c.Home, _, err = home.startAPI(ctx); err != nil {
				return err
			}
			controllers, err := home.startControllers()
			if err != nil {
				return err
			}
			if _, err := home.startScheduler(); err != nil {
				return err
			}
			var runtime *process
			select {
			case runtime = <-runtimeUp:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			kubelet, proxy, err := n.startAgents(runtime)
			if err != nil {
				return err
			}
			if err := controllers.await(ctx, readyTimeout, c.Home.hasDefaultServiceAccount); err != nil {
				return err
			}
			if err := n.awaitReady(ctx, c.Home, kubelet, proxy); err != nil {
				return err
			}
			fmt.Fprintf(c.progress, "home: %s is ready, and its node\n", c.Home.Address)
			return nil
		},
	)
}

// together runs functions side by side. The first error cancels the others and
// is what counts; it returns when all have.
func together(ctx context.Context, functions ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	var once sync.Once
	var first error
	for _, f := range functions {
		wait.Go(func() {
			if err := f(ctx); err != nil {
				once.Do(func() {
					first = err
					cancel(context.Canceled)
				})
			}
		})
	}
	wait.Wait()
	return first
}

// Attach returns an instance that is up, started by whomever. It does not lock
// it.
func Attach(name string) (*Cluster, error) {
	i, err := newInstance(name)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(i.state())
	if err != nil {
		return nil, fmt.Errorf("cluster %s is not up: %w", name, err)
	}
	var s state
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("read %s: %w", i.state(), err)
	}
	c := &Cluster{Name: name, instance: i, progress: io.Discard, Kubectl: filepath.Join(s.Binaries, "kubectl")}
	if c.Home, err = openAPI(adminKubeconfig(i, "home")); err != nil {
		return nil, err
	}
	if c.Target, err = openAPI(adminKubeconfig(i, "target")); err != nil {
		return nil, err
	}
	return c, nil
}

// Down takes the instance down and removes everything of it. It gives the lock
// up, even when it fails.
func (c *Cluster) Down(ctx context.Context) error {
	if c.lock == nil {
		return Down(ctx, c.Name, c.progress)
	}
	err := remove(ctx, c.instance)
	if err != nil {
		err = fmt.Errorf("take cluster %s down: %w", c.Name, err)
	}
	err = errors.Join(err, c.lock.release())
	c.lock = nil
	return err
}

// Down takes an instance down that this process did not bring up, whatever state
// it is in. That there is none is fine.
func Down(ctx context.Context, name string, progress io.Writer) error {
	i, err := newInstance(name)
	if err != nil {
		return err
	}
	if err := checkRoot(); err != nil {
		return err
	}
	l, err := lockInstance(ctx, i)
	if err != nil {
		return err
	}
	return (&Cluster{Name: name, instance: i, progress: synchronized(progress), lock: l}).Down(ctx)
}

// synchronized makes a writer that several goroutines can write lines to.
func synchronized(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return &lineWriter{w: w}
}

type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// MachineIP is the address under which Pods and both API servers reach this
// machine.
func (c *Cluster) MachineIP() string { return c.instance.machineIP().String() }
