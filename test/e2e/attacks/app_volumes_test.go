package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

var _ = declare(attack{
	name: "app_volumes", actor: app, outcome: prevented,
	tries: "looks for the volumes of the sidecar, and mounts or makes devices to reach them",
	what:  "they are not in its mount namespace, and it may mount nothing and open no disk",
	run: func(t *testing.T, s *scene) {
		mounts := s.shell(t, s.victim, "app", "cat /proc/self/mountinfo; find / -xdev -name '*connector-proxy*'")
		assert.Contains(t, mounts, "/var/run/connectors.alauda.io")
		for _, theirs := range []string{"connectors-credentials", "connectors-state", "connector-proxy"} {
			assert.NotContains(t, mounts, theirs)
		}
		assert.Regexp(t, "permission denied|not permitted", s.shell(t, s.victim, "app", "mount -t tmpfs none /tmp"))
		disks := s.shell(t, s.victim, "app", `
			for n in $(awk 'NR > 2 {print $1 "," $2}' /proc/partitions); do
				mknod /tmp/disk$n b ${n%,*} ${n#*,} && dd if=/tmp/disk$n of=/dev/null bs=512 count=1 && echo "reads a disk"
			done; mknod /tmp/memory c 1 1 && dd if=/tmp/memory of=/dev/null bs=512 count=1 && echo "reads memory"`)
		assert.NotContains(t, disks, "reads")
		assert.Contains(t, disks, "Operation not permitted")
	},
})
