{{/* Names, labels and what all pods share. */}}

{{/* Name that everything of this release starts with. */}}
{{- define "tidemill.fullname" -}}
{{- if contains "tidemill" .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-tidemill" .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of a component's objects. Takes (dict "root" $ "component" name). */}}
{{- define "tidemill.name" -}}
{{ include "tidemill.fullname" .root }}-{{ .component }}
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
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* How every object begins. Takes (dict "root" $ "component" name ["suffix" "-headless"]). */}}
{{- define "tidemill.metadata" -}}
name: {{ include "tidemill.name" . }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "tidemill.labels" . | nindent 2 }}
{{- end -}}

{{/* The services that run: those that are switched on, and the lake, where it is wanted. Takes $, gives YAML. */}}
{{- define "tidemill.services" -}}
{{- $services := dict }}
{{- range $component, $service := .Values.services }}
{{- if $service.enabled }}
{{- $_ := set $services $component $service }}
{{- end }}
{{- end }}
{{- if .Values.lake.enabled }}
{{- $_ := set $services "lake" .Values.lake.service }}
{{- end }}
{{- toYaml $services -}}
{{- end -}}

{{/* A service's values: its own entry over the defaults. Takes (dict "root" $ "component" name). */}}
{{- define "tidemill.service.values" -}}
{{- $services := include "tidemill.services" .root | fromYaml }}
{{- include "tidemill.overlay" (list .root.Values.serviceDefaults (index $services .component)) -}}
{{- end -}}

{{/* Whether all of some services run. Takes (dict "root" $ "all" list). */}}
{{- define "tidemill.runs" -}}
{{- $services := include "tidemill.services" .root | fromYaml }}
{{- $missing := list }}
{{- range .all }}
{{- if not (hasKey $services .) }}
{{- $missing = append $missing . }}
{{- end }}
{{- end }}
{{- if not $missing }}true{{ end -}}
{{- end -}}

{{/* Whether `helm test` can send an event and see it in its total. */}}
{{- define "tidemill.tested" -}}
{{- include "tidemill.runs" (dict "root" . "all" (list "ingestion" "enrichment" "aggregation" "reporting")) -}}
{{- end -}}

{{/* Services that run and have a database, in one line with spaces. Takes $. */}}
{{- define "tidemill.stateful" -}}
{{- $services := include "tidemill.services" . | fromYaml }}
{{- $found := list }}
{{- range list "enrichment" "aggregation" "alert" "recommendation" "reporting" "lake" }}
{{- if hasKey $services . }}
{{- $found = append $found . }}
{{- end }}
{{- end }}
{{- join " " $found -}}
{{- end -}}

{{/* Whether there is an InfluxDB of ours: aggregation alone writes to it. */}}
{{- define "tidemill.influxdb" -}}
{{- if and .Values.influxdb.enabled .Values.services.aggregation.enabled }}true{{ end -}}
{{- end -}}

{{/*
One map over another, at every depth; also `false`, 0 and null go over, which they do not with
mergeOverwrite. Takes (list below above), gives YAML.
*/}}
{{- define "tidemill.overlay" -}}
{{- $merged := deepCopy (first .) }}
{{- range $key, $value := last . }}
{{- $below := index $merged $key }}
{{- if and (kindIs "map" $below) (kindIs "map" $value) }}
{{- $value = include "tidemill.overlay" (list $below $value) | fromYaml }}
{{- end }}
{{- $_ := set $merged $key $value }}
{{- end }}
{{- toYaml $merged -}}
{{- end -}}

{{/* The Secret of a part: the user's own, or the one that the chart makes. Takes (dict "root" $ "component" name). */}}
{{- define "tidemill.secretName" -}}
{{- (index .root.Values .component).existingSecret | default (include "tidemill.name" .) -}}
{{- end -}}

{{/* An environment variable out of a part's Secret. Takes (dict "root" $ "component" part "env" name "key" key). */}}
{{- define "tidemill.secretEnv" -}}
- name: {{ .env }}
  valueFrom:
    secretKeyRef:
      name: {{ include "tidemill.secretName" . | quote }}
      key: {{ .key }}
{{- end -}}

{{/*
Keys of a part's Secret for a projected volume. Takes (dict "root" $ "component" part "keys" list). They are for the
pod's own group to read, as `tidemill.podBasics` has it.
*/}}
{{- define "tidemill.secretFiles" -}}
- secret:
    name: {{ include "tidemill.secretName" . | quote }}
    items:
      {{- range .keys }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end -}}

{{/* An image of ours. Takes (dict "root" $ "component" name "image" override "digest" digest). */}}
{{- define "tidemill.image" -}}
{{- if .image -}}
{{ .image }}
{{- else -}}
{{- with .root.Values.image -}}
{{ .registry }}{{ .repository }}/{{ $.component }}:{{ .tag | default $.root.Chart.AppVersion }}
{{- with $.digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tidemill.nats.url" -}}
{{- if .Values.nats.enabled -}}
nats://{{ include "tidemill.fullname" . }}-nats:4222
{{- else -}}
{{- .Values.nats.url -}}
{{- end -}}
{{- end -}}

{{- define "tidemill.influxdb.url" -}}
{{- if include "tidemill.influxdb" . -}}
http://{{ include "tidemill.fullname" . }}-influxdb:8086
{{- else -}}
{{- .Values.influxdb.url -}}
{{- end -}}
{{- end -}}

{{- define "tidemill.otlpEndpoint" -}}
{{- if .Values.jaeger.enabled -}}
http://{{ include "tidemill.fullname" . }}-jaeger:4317
{{- else -}}
{{- .Values.jaeger.otlpEndpoint -}}
{{- end -}}
{{- end -}}

{{/* Whether alert, where it runs, calls Slack. */}}
{{- define "tidemill.slack" -}}
{{- if or .Values.slack.existingSecret .Values.slack.webhookUrl }}true{{ end -}}
{{- end -}}

{{/*
The user of a bundled server: a number above what a node has of its own. An earlier install's server keeps its user,
since the files on its volume are that one's. Takes (dict "root" $ "component" name "uid" number).
*/}}
{{- define "tidemill.serverUser" -}}
{{- $standing := lookup "apps/v1" "StatefulSet" .root.Release.Namespace (include "tidemill.name" .) | default dict -}}
{{- int (dig "spec" "template" "spec" "securityContext" "runAsUser" .uid $standing) -}}
{{- end -}}

{{/* How every pod's spec begins. Takes a user id. No pod speaks to the Kubernetes API. */}}
{{- define "tidemill.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "tidemill.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/*
Pods of a component apart, on nodes and in zones. Takes (dict "root" $ "component" name "when"
whenUnsatisfiable), and "moves" where pods can go anywhere: then a drained or lost node does not
count, and neither do the pods that a roll-out is about to remove, since the new ones would
gather where those are not.
*/}}
{{- define "tidemill.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: {{ .when }}
    {{- if .moves }}
    nodeTaintsPolicy: Honor
    matchLabelKeys: [pod-template-hash]
    {{- end }}
    labelSelector:
      matchLabels:
        {{- include "tidemill.selectorLabels" . | nindent 8 }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    {{- if .moves }}
    nodeTaintsPolicy: Honor
    matchLabelKeys: [pod-template-hash]
    {{- end }}
    labelSelector:
      matchLabels:
        {{- include "tidemill.selectorLabels" . | nindent 8 }}
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

{{/* Lets one pod at a time be evicted: a drain of a node is slowed down and never blocked. */}}
{{- define "tidemill.disruptionBudget" -}}
{{- if .root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "tidemill.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "tidemill.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "tidemill.serviceAccount" -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "tidemill.metadata" . | nindent 2 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}
