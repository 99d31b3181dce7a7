package proxybench

import (
	"context"
	"os"
	"path/filepath"

	"github.com/kube-connector/kube-connector/bench/certificate"
	"github.com/kube-connector/kube-connector/bench/proc"
	"github.com/kube-connector/kube-connector/bench/sidecar"
)

// serverName is what the certificate of all servers is for, beside 127.0.0.1.
const serverName = "localhost"

// token is the one that a proxy adds to requests. The upstream server refuses
// those without.
const token = "token-of-the-bench"

// bed is what all proxies share.
type bed struct {
	dir      string
	ca       []byte // PEM
	sidecar  string // path of the program
	peer     string // path of the program
	upstream string // host:port
	server   *proc.Process
}

// newBed builds the programs and starts the upstream server.
func newBed(ctx context.Context) (b *bed, err error) {
	dir, err := os.MkdirTemp("", "bench-") // short: sockets are made in it
	if err != nil {
		return nil, err
	}
	b = &bed{dir: dir}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.sidecar, err = sidecar.Build(ctx, dir); err != nil {
		return nil, err
	}
	if b.peer, err = proc.Build(ctx, dir, "bench/peer"); err != nil {
		return nil, err
	}
	made, err := certificate.New(serverName)
	if err != nil {
		return nil, err
	}
	b.ca = made.CA
	for name, content := range map[string][]byte{
		"ca.crt": made.CA, "server.crt": made.Cert, "server.key": made.Key,
		"server.pem": append(made.Cert, made.Key...), // as HAProxy wants them
		"token":      []byte(token),
	} {
		if err := os.WriteFile(b.path(name), content, 0o600); err != nil {
			return nil, err
		}
	}
	if b.upstream, err = proc.FreeAddress(); err != nil {
		return nil, err
	}
	if b.server, err = proc.Start(ctx, nil, b.peer, "upstream", "-dir", dir, "-listen", b.upstream); err != nil {
		return nil, err
	}
	_, err = b.server.AwaitListening(b.upstream)
	return b, err
}

func (b *bed) close() {
	if b.server != nil {
		b.server.Stop()
	}
	_ = os.RemoveAll(b.dir)
}

func (b *bed) path(name string) string { return filepath.Join(b.dir, name) }

// place makes a directory for a proxy that is to be started.
func (b *bed) place() (string, error) { return os.MkdirTemp(b.dir, "") }
