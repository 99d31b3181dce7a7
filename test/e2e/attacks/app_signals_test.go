package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kube-connector/kube-connector/test/e2e/bed"
)

var _ = declare(attack{
	name: "app_signals", actor: app, outcome: prevented,
	tries: "sends signals to every process: to end the sidecar, or to have it print its stacks",
	what:  "they reach its own container only",
	run: func(t *testing.T, s *scene) {
		pod := start(t, s.pod())
		before := bed.ProcessOf(t, pod, sidecar)
		s.shell(t, pod, "aside", "kill -QUIT -1; kill -ABRT -1; kill -KILL -1")
		s.shell(t, pod, "app", "for p in $(seq 2 400); do [ $p = $$ ] || kill -QUIT $p; [ $p = $$ ] || kill -KILL $p; done")
		s.works(t, pod)
		assert.Equal(t, before, bed.ProcessOf(t, pod, sidecar))
		assert.NotContains(t, s.reads(t, pod, sidecar), "goroutine ")
	},
})
