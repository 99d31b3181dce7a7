package credential_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/credential"
)

const patience = 10 * time.Second

var ref = connector.Reference{Namespace: "team-a", Name: "cluster"}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files are what a generation of a volume holds.
type files map[string]string

// volume writes like the kubelet: a new directory, and one rename of ..data.
type volume struct {
	dir     string
	n       int
	keepOld bool // leave the old directory, so that only the rename can be noticed
}

func (v *volume) write(tb testing.TB, content files) {
	tb.Helper()
	v.n++
	generation := fmt.Sprintf("..generation-%d", v.n)
	old, _ := os.Readlink(filepath.Join(v.dir, "..data"))
	for name, data := range content {
		path := filepath.Join(v.dir, generation, name)
		require.NoError(tb, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(tb, os.WriteFile(path, []byte(data), 0o444))
	}
	require.NoError(tb, os.MkdirAll(filepath.Join(v.dir, generation), 0o755))
	require.NoError(tb, os.Symlink(generation, filepath.Join(v.dir, "..data_tmp")))
	require.NoError(tb, os.Rename(filepath.Join(v.dir, "..data_tmp"), filepath.Join(v.dir, "..data")))
	for name := range content {
		top, _, _ := bytes.Cut([]byte(name), []byte("/"))
		link := filepath.Join(v.dir, string(top))
		if _, err := os.Lstat(link); err != nil {
			require.NoError(tb, os.Symlink(filepath.Join("..data", string(top)), link))
		}
	}
	if old != "" && !v.keepOld {
		require.NoError(tb, os.RemoveAll(filepath.Join(v.dir, old)))
	}
}

func newDirectory(root string) (*credential.Directory, *testkit.Log) {
	log := &testkit.Log{}
	return credential.NewDirectory(root, false, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))), log
}

// follow runs d and returns a wait for a condition on the source.
func follow(t *testing.T, d *credential.Directory, src credential.Source) func(func(*credential.Snapshot) bool) *credential.Snapshot {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return func(want func(*credential.Snapshot) bool) *credential.Snapshot {
		t.Helper()
		deadline := time.After(patience)
		for {
			changed := src.Changed()
			if s := src.Current(); want(s) {
				return s
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("it does not become current; there is %+v", src.Current())
			}
		}
	}
}

func token(want string) func(*credential.Snapshot) bool {
	return func(s *credential.Snapshot) bool { return string(s.Token) == want }
}

func newCA(tb testing.TB) string {
	tb.Helper()
	_, ca := testkit.Certificate(tb, "ca", time.Now().Add(time.Hour))
	return ca
}

// The volume may be mounted for all connectors or for each.
func TestFollowsTheSwapsOfAVolume(t *testing.T) {
	first, second := newCA(t), newCA(t)
	for name, layout := range map[string]struct{ mount, prefix string }{
		"one volume":          {"", "team-a/cluster/"},
		"one a connector":     {"team-a/cluster", ""},
		"one for a namespace": {"team-a", "cluster/"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			v := &volume{dir: filepath.Join(root, layout.mount), keepOld: true}
			require.NoError(t, os.MkdirAll(v.dir, 0o755))
			d, log := newDirectory(root)
			src := d.Source(ref)
			require.Empty(t, src.Current().Token)
			require.ErrorContains(t, src.Current().Problem, "no token yet")
			await := follow(t, d, src)

			v.write(t, files{layout.prefix + "token": "one\n", layout.prefix + "ca.crt": first})
			s := await(token("one"))
			assert.Equal(t, first, s.CA)
			assert.True(t, s.Address.IsZero())
			require.NoError(t, s.Problem)

			v.write(t, files{layout.prefix + "token": "two", layout.prefix + "ca.crt": second, layout.prefix + "address": "https://api.example:6443/x\n"})
			s = await(token("two"))
			assert.Equal(t, second, s.CA)
			assert.Equal(t, "https://api.example:6443/x", s.Address.String())

			v.write(t, files{layout.prefix + "token": "three"})
			s = await(token("three"))
			assert.Empty(t, s.CA)
			assert.True(t, s.Address.IsZero())
			for _, secret := range []string{`"one"`, `"two"`, `"three"`} {
				assert.NotContains(t, log.String(), secret)
			}
		})
	}
}

func TestTokenThatWasTakenAwayIsNotUsed(t *testing.T) {
	v := &volume{dir: t.TempDir()}
	v.write(t, files{"team-a/cluster/token": "one"})
	d, _ := newDirectory(v.dir)
	src := d.Source(ref)
	require.Equal(t, credential.Token("one"), src.Current().Token)
	await := follow(t, d, src)
	v.write(t, files{"team-a/cluster/ca.crt": newCA(t)})
	s := await(token(""))
	assert.ErrorContains(t, s.Problem, "does the Secret of the Connector exist")
}

func TestBadContentKeepsTheLastGoodOne(t *testing.T) {
	for name, bad := range map[string]files{
		"empty token":     {"token": "\n"},
		"token of lines":  {"token": "two\nthree"},
		"token of zeros":  {"token": "two\x00"},
		"endless token":   {"token": string(bytes.Repeat([]byte("x"), 65<<10))},
		"not PEM":         {"token": "two", "ca.crt": "two"},
		"bad certificate": {"token": "two", "ca.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
		"private key":     {"token": "two", "ca.crt": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
		"plain address":   {"token": "two", "address": "http://api.example"},
		"empty address":   {"token": "two", "address": ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := &volume{dir: filepath.Join(t.TempDir(), "team-a", "cluster")}
			require.NoError(t, os.MkdirAll(v.dir, 0o755))
			v.write(t, files{"token": "one", "address": "https://api.example"})
			root := filepath.Dir(filepath.Dir(v.dir))
			d, log := newDirectory(root)
			src := d.Source(ref)
			good := src.Current()
			require.Equal(t, credential.Token("one"), good.Token)

			v.write(t, bad)
			assert.Same(t, good, src.Reload(), "a new token never meets an old address")
			src.Reload()
			assert.Equal(t, 1, strings.Count(log.String(), "the last good one stays in use"), "said once: %s", log)
			for _, content := range bad {
				if content != "" && len(content) < 100 {
					quoted, err := json.Marshal(content)
					require.NoError(t, err)
					assert.NotContains(t, log.String(), string(bytes.Trim(quoted, `"`))+`"`)
				}
			}

			fresh, _ := newDirectory(root)
			s := fresh.Source(ref).Current()
			assert.Empty(t, s.Token)
			require.Error(t, s.Problem)
			assert.NotContains(t, s.Problem.Error(), "two")
		})
	}
}

func TestPlainFilesAndALateDirectory(t *testing.T) {
	root := filepath.Join(t.TempDir(), "not", "there", "yet")
	d, _ := newDirectory(root)
	src := d.Source(ref)
	require.Error(t, src.Current().Problem)
	await := follow(t, d, src)

	dir := filepath.Join(root, "team-a", "cluster")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte("one"), 0o600))
	await(token("one"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "next"), []byte("two"), 0o600))
	require.NoError(t, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "token")))
	await(token("two"))
	require.NoError(t, os.Remove(filepath.Join(dir, "token")))
	await(token(""))
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "team-a", "cluster")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "token"), 0o600))
	d, _ := newDirectory(root)
	assert.ErrorContains(t, d.Source(ref).Current().Problem, "not a regular file")
}

func TestGoodCertificatesSurviveABadOne(t *testing.T) {
	ca := newCA(t)
	got, err := credential.ParseCA([]byte("# a comment\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + ca))
	require.NoError(t, err)
	assert.Equal(t, ca, got)
	got, err = credential.ParseCA([]byte(" \n"))
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestTokenPrintsAsNothing(t *testing.T) {
	const secret = credential.Token("secret")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", secret, "snapshot", credential.Snapshot{Token: secret})
	encoded, err := json.Marshal(credential.Snapshot{Token: secret})
	require.NoError(t, err)
	for _, text := range []string{
		fmt.Sprint(secret), fmt.Sprintf("%s %v %+v %#v %q", secret, secret, secret, secret, secret),
		fmt.Sprintf("%v %+v %#v", credential.Snapshot{Token: secret}, &credential.Snapshot{Token: secret}, credential.Snapshot{Token: secret}),
		log.String(), string(encoded),
	} {
		assert.NotContains(t, text, "secret")
	}
}

// While the kubelet swaps as fast as it can, parts of two generations are
// never seen together.
func TestGenerationsAreNotMixed(t *testing.T) {
	v := &volume{dir: t.TempDir()}
	write := func(n int) {
		v.write(t, files{
			"team-a/cluster/token":   fmt.Sprintf("t%d", n),
			"team-a/cluster/address": fmt.Sprintf("https://a%d.example", n),
		})
	}
	write(0)
	d, _ := newDirectory(v.dir)
	src := d.Source(ref)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if s := src.Reload(); s.Token != "" {
					assert.Equal(t, "https://a"+string(s.Token[1:])+".example", s.Address.String())
				}
			}
		}
	}()
	for n := range 300 {
		write(n)
	}
	close(stop)
	<-done
	assert.Equal(t, credential.Token("t299"), src.Reload().Token)
}

// In a Pod, others than the owner of the token may write the ConfigMap that
// address and CA come from.
func TestSealed(t *testing.T) {
	address, err := connector.ParseAddress("https://api.example.com:6443")
	require.NoError(t, err)
	ca := newCA(t)
	sealed := func(token string) files {
		return files{
			"token": token, "address": address.String() + "\n", "ca.crt": "# a comment\n" + ca,
			"seal": connector.Seal(token, ref, address, []byte(ca)),
		}
	}
	with := func(content files, name, value string) files {
		content[name] = value
		return content
	}
	without := func(content files, name string) files {
		delete(content, name)
		return content
	}
	for name, bad := range map[string]files{
		"another address":  with(sealed("one"), "address", "https://evil.example.com"),
		"another CA":       with(sealed("one"), "ca.crt", newCA(t)),
		"no seal":          without(sealed("one"), "seal"),
		"no CA":            without(sealed("one"), "ca.crt"),
		"only an address":  {"token": "one", "address": address.String()},
		"seal for another": with(sealed("one"), "seal", connector.Seal("one", connector.Reference{Namespace: "team-a", Name: "x"}, address, []byte(ca))),
		"a newer token":    with(sealed("one"), "token", "two"),
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			v := &volume{dir: filepath.Join(root, "team-a", "cluster")}
			require.NoError(t, os.MkdirAll(v.dir, 0o755))
			log := &testkit.Log{}
			d := credential.NewDirectory(root, true, slog.New(slog.NewJSONHandler(log, nil)))

			v.write(t, bad)
			src := d.Source(ref)
			require.Empty(t, src.Current().Token, "nothing to fall back on: no token goes anywhere")
			require.ErrorContains(t, src.Current().Problem, "not sealed with this token")

			v.write(t, sealed("one"))
			good := src.Reload()
			require.Equal(t, credential.Token("one"), good.Token)
			require.Equal(t, address, good.Address)

			v.write(t, bad)
			require.Same(t, good, src.Reload(), "what was sealed stays in use")

			v.write(t, sealed("two"))
			require.Equal(t, credential.Token("two"), src.Reload().Token)
		})
	}
	// A token never goes where only the arguments of the container say.
	for name, bare := range map[string]files{
		"only the token":     {"token": "one"},
		"no address":         without(sealed("one"), "address"),
		"only a CA":          {"token": "one", "ca.crt": ca},
		"a seal of no where": {"token": "one", "seal": connector.Seal("one", ref, connector.Address{}, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			v := &volume{dir: filepath.Join(root, "team-a", "cluster")}
			require.NoError(t, os.MkdirAll(v.dir, 0o755))
			log := &testkit.Log{}
			v.write(t, bare)
			src := credential.NewDirectory(root, true, slog.New(slog.NewJSONHandler(log, nil))).Source(ref)
			require.Empty(t, src.Current().Token)
			require.ErrorContains(t, src.Current().Problem, "the controller has not confirmed the address")
			require.NotContains(t, src.Current().Problem.Error(), "no token yet")

			v.write(t, sealed("one"))
			good := src.Reload()
			require.Equal(t, credential.Token("one"), good.Token)

			v.write(t, bare)
			require.Same(t, good, src.Reload(), "what was sealed stays in use")
			require.Contains(t, log.String(), "the last good one stays in use")
			v.write(t, files{"token": "two"})
			require.Same(t, good, src.Reload(), "nobody has said where the new token may go")
			v.write(t, files{})
			require.Empty(t, src.Reload().Token, "a token that was taken away is not used")
			v.write(t, bare)
			require.Empty(t, src.Reload().Token, "and does not come back without a seal")
		})
	}
}

// Whoever made the volume may have put a link to another token there.
func TestWhatIsNoAddressIsNotQuoted(t *testing.T) {
	v := &volume{dir: filepath.Join(t.TempDir(), "team-a", "cluster")}
	require.NoError(t, os.MkdirAll(v.dir, 0o755))
	v.write(t, files{"token": "one", "address": "another-token-4711"})
	log := &testkit.Log{}
	root := filepath.Dir(filepath.Dir(v.dir))
	src := credential.NewDirectory(root, true, slog.New(slog.NewJSONHandler(log, nil))).
		Source(connector.Reference{Namespace: "team-a", Name: "cluster"})
	require.ErrorContains(t, src.Current().Problem, "the file address is no address as the controller writes it")
	require.NotContains(t, src.Current().Problem.Error()+log.String(), "4711")
}
