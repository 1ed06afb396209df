{{/* Name that everything of this release starts with. */}}
{{- define "tidemill.fullname" -}}
{{- if contains "tidemill" .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-tidemill" .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tidemill.secretName" -}}
{{- .Values.secrets.existingSecret | default (include "tidemill.fullname" .) -}}
{{- end -}}

{{/* What a selector matches. Takes (dict "root" $ "component" name). */}}
{{- define "tidemill.selectorLabels" -}}
app.kubernetes.io/name: tidemill
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "tidemill.labels" -}}
{{ include "tidemill.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tidemill
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* A service's values: its own entry over the defaults. Takes (dict "root" $ "name" name). */}}
{{- define "tidemill.service.values" -}}
{{- mustMergeOverwrite (deepCopy .root.Values.serviceDefaults) (deepCopy (index .root.Values.services .name)) | toYaml -}}
{{- end -}}

{{- define "tidemill.nats.url" -}}
{{- if .Values.nats.enabled -}}
nats://{{ include "tidemill.fullname" . }}-nats:4222
{{- else -}}
{{- required "nats.url is needed when nats.enabled is false" .Values.nats.url -}}
{{- end -}}
{{- end -}}

{{- define "tidemill.influxdb.url" -}}
{{- if .Values.influxdb.enabled -}}
http://{{ include "tidemill.fullname" . }}-influxdb:8086
{{- else -}}
{{- required "influxdb.url is needed when influxdb.enabled is false" .Values.influxdb.url -}}
{{- end -}}
{{- end -}}

{{- define "tidemill.otlpEndpoint" -}}
{{- if .Values.jaeger.enabled -}}
http://{{ include "tidemill.fullname" . }}-jaeger:4317
{{- else -}}
{{- .Values.jaeger.otlpEndpoint -}}
{{- end -}}
{{- end -}}

{{/* An environment variable out of the Secret. Takes (dict "root" $ "env" name "key" key ["optional" true]). */}}
{{- define "tidemill.secretEnv" -}}
- name: {{ .env }}
  valueFrom:
    secretKeyRef:
      name: {{ include "tidemill.secretName" .root }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{/* The pod of a bundled server and that of a service share these. Takes a user id. */}}
{{- define "tidemill.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "tidemill.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The one claim of a bundled server. Takes its values. */}}
{{- define "tidemill.dataClaim" -}}
- metadata:
    name: data
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .storage }}
{{- end -}}
