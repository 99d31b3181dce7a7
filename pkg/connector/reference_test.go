package connector_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kube-connector/kube-connector/pkg/connector"
)

func TestParseReference(t *testing.T) {
	for in, want := range map[string]connector.Reference{
		"k8s":           {Namespace: "team-a", Name: "k8s"},
		"team-b/k8s":    {Namespace: "team-b", Name: "k8s"},
		"k8s.prod-1":    {Namespace: "team-a", Name: "k8s.prod-1"},
		long(63, "a"):   {Namespace: "team-a", Name: long(63, "a")},
		"0/1":           {Namespace: "0", Name: "1"},
		"team-a/a.b.c1": {Namespace: "team-a", Name: "a.b.c1"},
	} {
		got, err := connector.ParseReference(in, "team-a")
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
		require.Equal(t, want.Namespace+"/"+want.Name, got.String())
	}
}

func TestParseReferenceRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "the name must be",
		"/":                  "the namespace must be",
		"/k8s":               "the namespace must be",
		"team-a/":            "the name must be",
		"a/b/c":              "the name must be",
		"K8s":                "the name must be",
		"-k8s":               "the name must be",
		"k8s.":               "the name must be",
		"..":                 "the name must be",
		"a b":                "the name must be",
		"team.b/k8s":         "the namespace must be",
		"../k8s":             "the namespace must be",
		"k8s\n":              "the name must be",
		long(64, "a"):        "the name must be",
		long(64, "n") + "/a": "the namespace must be",
		long(5000, "a"):      "the name must be",
	} {
		_, err := connector.ParseReference(in, "team-a")
		require.ErrorIs(t, err, connector.ErrInvalidReference, "%q", in)
		require.ErrorContains(t, err, want, "%q", in)
		require.Less(t, len(err.Error()), 300)
	}
}

func TestParseReferences(t *testing.T) {
	got, err := connector.ParseReferences(" one , team-b/two,three ", "team-a")
	require.NoError(t, err)
	require.Equal(t, []connector.Reference{
		{Namespace: "team-a", Name: "one"},
		{Namespace: "team-b", Name: "two"},
		{Namespace: "team-a", Name: "three"},
	}, got)

	for in, want := range map[string]string{
		"":                 "the list is empty",
		"   ":              "the list is empty",
		"a,,b":             "the name must be",
		"a,":               "the name must be",
		"a,team-a/a":       "team-a/a is named twice",
		manyReferences(17): "17 Connectors are named, at most 16",
	} {
		_, err := connector.ParseReferences(in, "team-a")
		require.ErrorIs(t, err, connector.ErrInvalidReference, "%q", in)
		require.ErrorContains(t, err, want, "%q", in)
	}
	got, err = connector.ParseReferences(manyReferences(16), "team-a")
	require.NoError(t, err)
	require.Len(t, got, connector.MaxReferences)
}

func FuzzParseReferences(f *testing.F) {
	for _, seed := range []string{"k8s", "team-b/k8s", "a,b , c/d", "", ",", "a/b/c", "a,a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := connector.ParseReferences(in, "team-a")
		if err != nil {
			require.ErrorIs(t, err, connector.ErrInvalidReference)
			return
		}
		require.NotEmpty(t, got)
		require.LessOrEqual(t, len(got), connector.MaxReferences)
		names := make([]string, len(got))
		for i, ref := range got {
			names[i] = ref.String()
		}
		again, err := connector.ParseReferences(strings.Join(names, ","), "somewhere-else")
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func manyReferences(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = long(i+1, "a")
	}
	return strings.Join(names, ",")
}
