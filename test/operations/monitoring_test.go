package operations

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// TestMonitoring: Prometheus can read the rules and Grafana's queries, every metric
// in them is one that the programs serve, and every label by which it is selected is
// one that it has.
func TestMonitoring(t *testing.T) {
	controller := start(t, "controller", server.Config.Host, "--leader-elect")
	controller.await(t, "/metrics", http.StatusOK, leads)
	awaitReason(t, newConnector(t))
	webhook := start(t, "webhook", server.Config.Host, "--sidecar-image=sidecar")
	webhook.await(t, "/metrics", http.StatusOK, "kube_connector_injections_total")
	controller.await(t, "/metrics", http.StatusOK, "kube_connector_connectors{")
	_, metrics := get("http://" + controller.metrics + "/metrics")
	_, more := get("http://" + webhook.metrics + "/metrics")
	metrics += more

	check := exec.CommandContext(t.Context(), "go", "-C", filepath.Join(root, "tools", "monitoring"), "run", ".", "-dir", "../../config/monitoring")
	check.Env = append(os.Environ(), "GOFLAGS=-mod=readonly")
	output, err := check.CombinedOutput()
	require.NoError(t, err, "%s", output)
	used := strings.Split(strings.TrimSpace(string(output)), "\n")
	require.Greater(t, len(used), 10)
	for _, line := range used {
		fields := strings.Fields(line)
		// Only once a token says when it ends.
		if fields[0] == "kube_connector_token_expiry_seconds" {
			continue
		}
		sample := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(fields[0]) + `(\{.*\})? `).FindString(metrics)
		if !assert.NotEmpty(t, sample, "nobody serves %s", fields[0]) {
			continue
		}
		for _, label := range fields[1:] {
			assert.Regexp(t, `[{,]`+label+`="`, sample, "%s has no such label", fields[0])
		}
	}
}

// TestAlertsAreDocumented: whoever is woken finds what to do.
func TestAlertsAreDocumented(t *testing.T) {
	var rules struct {
		Spec struct {
			Groups []struct{ Rules []struct{ Alert string } }
		}
	}
	content, err := os.ReadFile(filepath.Join(root, "config", "monitoring", "rules.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(content, &rules))
	document, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	require.NoError(t, err)
	var alerts []string
	for _, group := range rules.Spec.Groups {
		for _, rule := range group.Rules {
			alerts = append(alerts, rule.Alert)
			assert.Contains(t, string(document), "| `"+rule.Alert+"` |")
		}
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|.*\\b(warning|critical)\\b").FindAllStringSubmatch(string(document), -1) {
		assert.True(t, slices.Contains(alerts, match[1]), "%s is no alert", match[1])
	}
}
