package admissiontest

import (
	"fmt"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

const (
	automounted       = "kube-api-access-x1y2z"
	serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// shapes are what a spec may have beside containers and volumes. Of each line,
// one at most.
var shapes = [][]string{
	{`{}`, `{"restartPolicy":"Never"}`, `{"restartPolicy":"OnFailure","activeDeadlineSeconds":60}`},
	{`{}`, `{}`, `{}`, `{"hostUsers":false}`, `{"hostIPC":true}`, `{"runtimeClassName":"sandboxed"}`},
	{`{"serviceAccountName":"default"}`, `{"serviceAccountName":"default","automountServiceAccountToken":false}`},
	{`{}`, `{"imagePullSecrets":[{"name":"registry"}]}`, `{"imagePullSecrets":[]}`},
	{`{}`, `{"nodeSelector":{"kubernetes.io/os":"linux"},"tolerations":[{"operator":"Exists"}]}`, `{"dnsPolicy":"None","dnsConfig":{"nameservers":["192.0.2.53"]}}`},
	{`{}`, `{"os":{"name":"linux"}}`, `{"hostAliases":[{"ip":"127.0.0.1","hostnames":["db"]}]}`, `{"schedulingGates":[{"name":"example.com/quota"}]}`},
}

// unsuitable are Pods that no sidecar can be in, or that no API server takes.
var unsuitable = []string{
	`{"hostNetwork":true}`, `{"hostPID":true}`, `{"shareProcessNamespace":true}`, `{"os":{"name":"windows"}}`,
	`{"nodeSelector":{"kubernetes.io/os":"windows"}}`, `{"ephemeralContainers":[{"name":"debugger","image":"busybox"}]}`,
	`{"volumes":null}`, `{"containers":[]}`,
}

var (
	podSecurity = []string{
		`{}`, `{"securityContext":{}}`, `{"securityContext":{"runAsUser":0}}`, `{"securityContext":{"fsGroup":2000,"supplementalGroups":[1]}}`,
		`{"securityContext":{"runAsNonRoot":true,"runAsUser":1000,"seccompProfile":{"type":"RuntimeDefault"}}}`,
		`{"securityContext":{"seccompProfile":{"type":"Unconfined"},"appArmorProfile":{"type":"Unconfined"}}}`,
		`{"securityContext":{"sysctls":[{"name":"net.ipv4.ip_local_port_range","value":"1024 65535"}],"seLinuxOptions":{"level":"s0"}}}`,
	}
	containerSecurity = []string{
		`{}`, `{"securityContext":{}}`, `{"securityContext":{"privileged":true}}`, `{"securityContext":{"capabilities":{"add":["NET_ADMIN"]}}}`,
		`{"securityContext":{"runAsUser":1000,"readOnlyRootFilesystem":true,"procMount":"Default"}}`,
	}
	// podResources are as the API server has filled them in before it asks.
	podResources = []string{
		`{"resources":{"requests":{"cpu":"2","memory":"4Gi"},"limits":{"cpu":"2","memory":"4Gi"}}}`,
		`{"resources":{"requests":{"cpu":"2","memory":"4Gi"}}}`, `{"resources":{"requests":{"cpu":"1"},"limits":{"cpu":"2"}}}`,
		`{"resources":{}}`,
	}
	containerResources = []string{
		`{}`, `{"resources":{}}`, `{"resources":{"requests":{"cpu":"10m"}}}`, `{"resources":{"limits":{"memory":"64Mi"}}}`,
		`{"resources":{"requests":{"cpu":"10m","memory":"16Mi"},"limits":{"cpu":"100m","memory":"64Mi"}}}`,
		`{"resources":{"limits":{"example.com/device":"1"},"requests":{"ephemeral-storage":"1Gi"}}}`,
		`{"resources":{"requests":{"cpu":"0"},"limits":{"cpu":"1","memory":"1Gi"}}}`,
	}
)

const (
	restrictedPod       = `{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}}}`
	restrictedContainer = `{"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}`
	guaranteed          = `{"resources":{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"cpu":"0.1","memory":"64Mi"}}}`
	limitsOnly          = `{"resources":{"limits":{"cpu":"1","memory":"64Mi"}}}`
)

func (g *generator) spec() object {
	spec := object{}
	for _, some := range shapes {
		g.add(spec, some...)
	}
	switch g.security {
	case 1:
		g.add(spec, restrictedPod)
	case 2:
		g.add(spec, podSecurity...)
	}
	if g.resources == 3 {
		g.add(spec, podResources...)
	}
	g.makeVolumes()
	spec["containers"] = append([]any{g.container("main", false)}, g.containers("main-%d", false)...)
	if inits := g.containers("init-%d", true); len(inits) > 0 || g.oneIn(4) {
		spec["initContainers"] = inits
	}
	if len(g.volumes) > 0 || g.oneIn(4) {
		spec["volumes"] = g.volumes
	}
	if g.oneIn(24) {
		g.add(spec, unsuitable...)
	}
	return g.ofTomorrow(spec)
}

// makeVolumes makes volumes, and the mounts that every container has.
func (g *generator) makeVolumes() {
	for i, source := range []string{
		`{"emptyDir":{}}`, `{"configMap":{"name":"c"}}`, `{"secret":{"secretName":"s"}}`, `{"hostPath":{"path":"/tmp"}}`,
		`{"persistentVolumeClaim":{"claimName":"c"}}`, `{"csi":{"driver":"other.example.com","volumeAttributes":{"connectors":"c-0"}}}`,
		`{"downwardAPI":{"items":[{"path":"labels","fieldRef":{"fieldPath":"metadata.labels"}}]}}`, `{"sourceOfTomorrow":{"x":"y"}}`,
	} {
		if g.oneIn(6) {
			g.volume(fmt.Sprintf("v-%d", i), fmt.Sprintf("/v/%d", i), source)
		}
	}
	if g.oneIn(2) {
		g.volume(automounted, serviceAccountDir, `{"projected":{"defaultMode":420,"sources":[{"serviceAccountToken":{"path":"token"}}]}}`)
		g.mounts[len(g.mounts)-1].(object)["readOnly"] = !g.oneIn(16)
	}
	if g.oneIn(4) {
		for i := range 1 + g.number(2) {
			g.connectorsVolume(fmt.Sprintf("kube-%d", i))
		}
	}
	if g.oneIn(16) {
		g.volume(pick(g.choices, "connectors-kubeconfig", "connectors-state", "connectors-no-api-token", "connectors-in-cluster", "connectors-credentials-0", "connectors-credentials-99"),
			pick(g.choices, "/x", "/var/run/connectors.alauda.io", serviceAccountDir, "/v/0"),
			pick(g.choices, `{"emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}}`, `{"emptyDir":{}}`, `{"projected":{"defaultMode":292,"sources":[]}}`, `{"secret":{"secretName":"s"}}`))
	}
	if g.oneIn(8) {
		g.volume("odd", pick(g.choices, "/opt/kube", "/var/run", "/var/run/connectors.alauda.io/x", "/var/run/secrets", "/data", serviceAccountDir+"/"), `{"emptyDir":{}}`)
	}
}

func (g *generator) volume(name, path, source string) {
	volume := object{"name": name}
	g.add(volume, source)
	g.volumes = append(g.volumes, g.ofTomorrow(volume))
	g.mounts = append(g.mounts, object{"name": name, "mountPath": path})
}

// connectorsVolume is one of the driver that asks for Connectors.
func (g *generator) connectorsVolume(name string) {
	attributes := object{}
	switch g.number(4) {
	case 0, 1:
		attributes[v1alpha1.AttributeConnectors] = pick(g.choices, "c-0", "c-4,team-a/c-5", "c-0", "c-7", connectorNames(16), "team-b/c-0", "")
	case 2:
		attributes[v1alpha1.AttributeConnectorName] = pick(g.choices, "c-0", "c-6", "c-6", "C")
	default:
		attributes[v1alpha1.AttributeConnectorName], attributes[v1alpha1.AttributeConnectorNamespace] = "c-0", pick(g.choices, Namespace, "", "team-b")
	}
	attributes[v1alpha1.AttributeConfigurationNames] = pick(g.choices, "kubeconfig", "kubeconfig", "kubeconfig", "", "kubeconfig, x")
	g.volumes = append(g.volumes, g.ofTomorrow(object{"name": name, "csi": g.ofTomorrow(object{
		"driver": v1alpha1.CSIDriver, "readOnly": g.oneIn(2), "volumeAttributes": attributes,
	})}))
	mount := object{"name": name, "mountPath": "/kube/" + name}
	g.add(mount, `{}`, `{"readOnly":true}`, `{"readOnly":false}`, `{"subPath":"kubeconfig"}`, `{"readOnly":true,"recursiveReadOnly":"IfPossible"}`)
	g.mounts = append(g.mounts, mount)
}

func (g *generator) containers(name string, initialize bool) []any {
	containers := make([]any, g.number(4))
	for i := range containers {
		containers[i] = g.container(fmt.Sprintf(name, i), initialize)
	}
	return containers
}

func (g *generator) container(name string, initialize bool) object {
	container := object{"name": name, "image": "toolbox"}
	if g.oneIn(100) {
		container["name"] = "connector-proxy"
	}
	native := initialize && g.oneIn(2)
	if native {
		container["restartPolicy"] = "Always"
	}
	g.add(container, `{}`, `{"command":["sh"],"args":["-c","$(A)"],"tty":true,"stdin":true}`, `{"workingDir":"/v"}`, `{"ports":[{"containerPort":8080}]}`,
		`{"envFrom":[{"configMapRef":{"name":"c"}}]}`, `{"terminationMessagePolicy":"FallbackToLogsOnError"}`)
	if !initialize || native {
		g.add(container, `{}`, `{"lifecycle":{"postStart":{"exec":{"command":["x"]}},"preStop":{"exec":{"command":["y"]}}}}`,
			`{"readinessProbe":{"tcpSocket":{"port":8080}},"startupProbe":{"exec":{"command":["x"]}}}`)
	}
	switch g.security {
	case 1:
		g.add(container, restrictedContainer)
	case 2:
		g.add(container, containerSecurity...)
	}
	switch g.resources {
	case 1:
		g.add(container, guaranteed, limitsOnly)
	case 2, 3:
		g.add(container, containerResources...)
	}
	g.variables(container)
	g.mount(container)
	return g.ofTomorrow(container)
}

func (g *generator) variables(container object) {
	var env []any
	for _, variable := range []string{
		`{"name":"A","value":"b"}`, `{"name":"B","value":"$(A) $(KUBECONFIG)"}`, `{"name":"EMPTY"}`,
		`{"name":"POD","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}`,
		`{"name":"API","value":"https://$(KUBERNETES_SERVICE_HOST)","fieldOfTomorrow":1}`,
	} {
		if g.oneIn(4) {
			env = append(env, fragment(variable))
		}
	}
	if g.oneIn(8) {
		env = append(env, fragment(pick(g.choices, `{"name":"KUBECONFIG","value":"/x"}`, `{"name":"KUBECONFIG"}`,
			`{"name":"KUBECONFIG","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}`)))
	}
	if g.oneIn(48) {
		env = append(env, fragment(pick(g.choices, `{"name":"KUBERNETES_SERVICE_HOST","value":"127.0.0.1"}`, `{"name":"KUBERNETES_SERVICE_PORT","value":"443"}`)))
	}
	switch {
	case len(env) > 0:
		container["env"] = env
	case g.oneIn(4):
		container["env"] = pick[any](g.choices, []any{}, nil)
	}
}

func (g *generator) mount(container object) {
	var mounts []any
	for _, mount := range g.mounts {
		if !g.oneIn(4) {
			own := object{}
			for key, value := range mount.(object) {
				own[key] = value
			}
			mounts = append(mounts, g.ofTomorrow(own))
		}
	}
	switch {
	case len(mounts) > 0:
		container["volumeMounts"] = mounts
	case g.oneIn(4):
		container["volumeMounts"] = pick[any](g.choices, []any{}, nil)
	}
}
