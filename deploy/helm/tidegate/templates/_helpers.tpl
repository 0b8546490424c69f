{{/* Names and labels, and gateway.toml. */}}

{{- define "tidegate.name" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) }}{{ $name = printf "%s-%s" $name .Chart.Name }}{{ end -}}
{{- $name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tidegate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tidegate.labels" -}}
{{ include "tidegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "tidegate.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{/* The hosts that clients call it by. */}}
{{- define "tidegate.hosts" -}}
{{- $urls := .Values.publicUrl -}}
{{- if kindIs "string" $urls }}{{ $urls = list $urls }}{{ end -}}
{{- $hosts := list -}}
{{- range $urls }}{{ $hosts = append $hosts (regexReplaceAll ":[0-9]+$" (urlParse .).host "") }}{{ end -}}
{{- $hosts | uniq | toJson -}}
{{- end }}

{{/*
The sections that have to agree with the pod, from values; then the text of `config`. Helm reads every number of values.yaml as a
fraction, and would write 4 as 4.0.
*/}}
{{- define "tidegate.config" -}}
{{- $server := merge (dict
  "listen" (list "0.0.0.0:5000")
  "public_url" .Values.publicUrl
  "state_dir" "/var/lib/tidegate"
  "drain_delay" (printf "%ds" (int .Values.drain.delay))
  "drain_timeout" (printf "%ds" (int .Values.drain.timeout))
) .Values.server -}}
{{- if .Values.tls.secret -}}
{{- $_ := set $server "tls" (dict "cert" "/etc/tidegate-tls/tls.crt" "key" "/etc/tidegate-tls/tls.key") -}}
{{- end -}}
{{- $keys := list -}}
{{- range .Values.keys.files }}{{ $keys = append $keys (printf "/etc/tidegate-keys/%s" .) }}{{ end -}}
{{- $token := merge (dict "keys" $keys) .Values.token -}}
{{- $sections := dict "server" $server "admin" (dict "listen" "0.0.0.0:5001") "token" $token -}}
# Made by Helm from the chart's values.
{{ regexReplaceAll "(?m)= (-?[0-9]+)\\.0$" (toToml $sections) "= $1" }}
{{ .Values.config }}
{{- if .Values.htpasswd.secret }}
[[authn]]
kind = "htpasswd"
file = "/etc/tidegate-users/{{ .Values.htpasswd.file }}"
{{- end }}
{{- end }}
