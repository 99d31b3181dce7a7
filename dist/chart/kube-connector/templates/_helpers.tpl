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

{{/* Whom policies do not hold for. */}}
{{- define "kube-connector.exempt" -}}
!(request.userInfo.username in {{ toJson .Values.policies.exemptUsers }})
{{- end }}

{{/* The images that may hold a token: the one that is injected, the one of the release before, as long as its webhook runs, and others. */}}
{{- define "kube-connector.sidecars" -}}
{{- $settings := include "kube-connector.settings" (dict "root" . "program" "webhook") | fromYaml }}
{{- $images := list (index $settings "sidecar-image") }}
{{- with lookup "v1" "ConfigMap" .Release.Namespace "connector-webhook-settings" }}
{{- with index .data "sidecar-image" }}
{{- $images = append $images . }}
{{- end }}
{{- end }}
{{- printf "'%s'.split(' ')" (concat $images .Values.policies.sidecarImages | uniq | join " ") }}
{{- end }}
