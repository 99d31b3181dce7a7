{{/* The image of a program. */}}
{{- define "kube-connector.image" -}}
{{ .root.Values.image.repository }}/{{ .program }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* The data of a program's ConfigMap. */}}
{{- define "kube-connector.settings" -}}
{{- $settings := deepCopy (index .root.Values .program).settings }}
{{- if eq .program "webhook" }}
{{- $image := include "kube-connector.image" (dict "root" .root "program" "sidecar") }}
{{- $settings = merge $settings (dict "sidecar-image" $image) }}
{{- end }}
{{- toYaml $settings }}
{{- end }}
