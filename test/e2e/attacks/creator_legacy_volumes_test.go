package attacks

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = declare(attack{
	name: "creator_legacy_volumes", actor: creator, outcome: prevented,
	tries: "hands the Secret to a storage driver of the kubelet: iSCSI, Ceph, RBD, Flex, Azure, ScaleIO, StorageOS",
	what:  "the Pods are refused",
	run: func(t *testing.T, s *scene) {
		mallory := s.person(t, createsPods)
		for name, source := range map[string]func(local *corev1.LocalObjectReference) corev1.VolumeSource{
			"iscsi": func(l *corev1.LocalObjectReference) corev1.VolumeSource {
				return corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{TargetPortal: "192.0.2.1", IQN: "iqn.2026-01.example:x", SessionCHAPAuth: true, SecretRef: l}}
			},
			"cephfs": func(l *corev1.LocalObjectReference) corev1.VolumeSource {
				return corev1.VolumeSource{CephFS: &corev1.CephFSVolumeSource{Monitors: []string{"192.0.2.1"}, SecretRef: l}}
			},
			"rbd": func(l *corev1.LocalObjectReference) corev1.VolumeSource {
				return corev1.VolumeSource{RBD: &corev1.RBDVolumeSource{CephMonitors: []string{"192.0.2.1"}, RBDImage: "x", SecretRef: l}}
			},
			"flex": func(l *corev1.LocalObjectReference) corev1.VolumeSource {
				return corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{Driver: "example.com/x", SecretRef: l}}
			},
			"azure": func(l *corev1.LocalObjectReference) corev1.VolumeSource {
				return corev1.VolumeSource{AzureFile: &corev1.AzureFileVolumeSource{SecretName: l.Name, ShareName: "x"}}
			},
			"scaleio": func(l *corev1.LocalObjectReference) corev1.VolumeSource {
				return corev1.VolumeSource{ScaleIO: &corev1.ScaleIOVolumeSource{Gateway: "x", System: "x", VolumeName: "x", SecretRef: l}}
			},
			"storageos": func(l *corev1.LocalObjectReference) corev1.VolumeSource {
				return corev1.VolumeSource{StorageOS: &corev1.StorageOSVolumeSource{VolumeName: "x", SecretRef: l}}
			},
		} {
			pod := func(secret string) *corev1.Pod {
				pod := s.plain()
				pod.Spec.Volumes = []corev1.Volume{{Name: "loot", VolumeSource: source(&corev1.LocalObjectReference{Name: secret})}}
				return pod
			}
			require.NoError(t, s.creates(t, mallory, pod(unrelated), client.DryRunAll), name)
			refused(t, s.creates(t, mallory, pod(theSecret)))
		}
	},
})
