{{- define "quickeye.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "quickeye.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "quickeye.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "quickeye.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "quickeye.selectorLabels" -}}
app.kubernetes.io/name: {{ include "quickeye.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "quickeye.commonLabels" -}}
app.kubernetes.io/name: {{ include "quickeye.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "quickeye.labels" -}}
{{ include "quickeye.commonLabels" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "quickeye.image" -}}
{{- printf "%s:%s" .Values.image.repository (default (ternary "cuda" "cpu" .Values.gpu.enabled) .Values.image.tag) }}
{{- end }}

{{- define "quickeye.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "quickeye.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* A setting as the environment takes it: lists with commas between, whole numbers without an exponent. */}}
{{- define "quickeye.setting" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) }}{{ printf "%.0f" . }}
{{- else }}{{ toString . }}
{{- end }}
{{- end }}

{{/* A duration of Prometheus, such as 1m30s, in ms. */}}
{{- define "quickeye.milliseconds" -}}
{{- $unit := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 }}
{{- $sum := 0 }}
{{- range regexFindAll "[0-9]+(ms|[smhd])" . -1 }}
{{- $sum = add $sum (mul (regexFind "[0-9]+" . | int64) (get $unit (regexFind "[a-z]+" .))) }}
{{- end }}
{{- $sum }}
{{- end }}
