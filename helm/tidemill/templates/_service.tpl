{{/*
Everything that one of our services is made of. services.yaml calls it once a
service; each takes (dict "root" $ "name" name "service" values).
*/}}

{{- define "tidemill.service.name" -}}
{{ include "tidemill.fullname" .root }}-{{ .name }}
{{- end -}}

{{- define "tidemill.service.image" -}}
{{- if .service.image -}}
{{ .service.image }}
{{- else -}}
{{- with .root.Values.image -}}
{{ .registry }}{{ .repository }}/{{ $.name }}:{{ .tag | default $.root.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Configuration by environment: what all services share, then what one needs. */}}
{{- define "tidemill.service.env" -}}
- name: TIDEMILL_HTTP__LISTEN
  value: "0.0.0.0:{{ .service.port }}"
- name: TIDEMILL_NATS__URL
  value: {{ include "tidemill.nats.url" .root | quote }}
{{- with .root.Values.nats.user }}
- name: TIDEMILL_NATS__USER
  value: {{ . | quote }}
{{ include "tidemill.secretEnv" (dict "root" $.root "env" "TIDEMILL_NATS__PASSWORD" "key" "nats-password") }}
{{- end }}
- name: TIDEMILL_NATS__REPLICAS
  value: {{ .root.Values.nats.replicas | quote }}
- name: TIDEMILL_NATS__PARTITIONS
  value: {{ .root.Values.nats.partitions | quote }}
{{- /* Ingestion's store is the log itself. */}}
{{- if ne .name "ingestion" }}
{{ include "tidemill.secretEnv" (dict "root" .root "env" "TIDEMILL_STORE__URL" "key" (printf "store-url-%s" .name)) }}
{{- end }}
- name: TIDEMILL_TELEMETRY__LOG
  value: {{ .root.Values.log.filter | quote }}
{{- with include "tidemill.otlpEndpoint" .root }}
- name: TIDEMILL_TELEMETRY__OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- if or (eq .name "ingestion") (eq .name "enrichment") }}
{{ include "tidemill.secretEnv" (dict "root" .root "env" "TIDEMILL_AUTH__KEYS" "key" "auth-keys") }}
{{- else if eq .name "aggregation" }}
- name: TIDEMILL_METRICS_STORE__KIND
  value: influxdb
- name: TIDEMILL_METRICS_STORE__URL
  value: {{ include "tidemill.influxdb.url" .root | quote }}
- name: TIDEMILL_METRICS_STORE__ORG
  value: {{ .root.Values.influxdb.org | quote }}
- name: TIDEMILL_METRICS_STORE__BUCKET
  value: {{ .root.Values.influxdb.bucket | quote }}
{{ include "tidemill.secretEnv" (dict "root" .root "env" "TIDEMILL_METRICS_STORE__TOKEN" "key" "influxdb-token") }}
{{- else if eq .name "alert" }}
{{ include "tidemill.secretEnv" (dict "root" .root "env" "TIDEMILL_SLACK__WEBHOOK_URL" "key" "slack-webhook-url" "optional" true) }}
{{- end }}
{{- range $key, $value := .service.env }}
- name: {{ $key }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "tidemill.service.deployment" -}}
{{- $labels := dict "root" .root "component" .name }}
{{- if and .service.singleOwner .service.autoscaling.enabled }}
{{- fail (printf "services.%s owns its state alone (singleOwner): it cannot be autoscaled" .name) }}
{{- end }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "tidemill.service.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "tidemill.labels" $labels | nindent 4 }}
spec:
  {{- if not .service.autoscaling.enabled }}
  replicas: 1
  {{- end }}
  strategy:
    {{- if .service.singleOwner }}
    # The old owner has let go before the new one starts.
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
    {{- end }}
  selector:
    matchLabels:
      {{- include "tidemill.selectorLabels" $labels | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "tidemill.labels" $labels | nindent 8 }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: {{ .service.port | quote }}
        prometheus.io/path: /metrics
        {{- with .service.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "tidemill.service.name" . }}
      # No service speaks to the Kubernetes API.
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .service.terminationGracePeriodSeconds }}
      securityContext:
        {{- include "tidemill.podSecurity" 65532 | nindent 8 }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ include "tidemill.service.image" . | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          env:
            {{- include "tidemill.service.env" . | nindent 12 }}
          ports:
            - name: http
              containerPort: {{ .service.port }}
          startupProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 10
            timeoutSeconds: 3
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 2
          lifecycle:
            preStop:
              # Requests still arrive until every node has heard that this pod is leaving.
              sleep: {seconds: 5}
          resources:
            {{- toYaml .service.resources | nindent 12 }}
          securityContext:
            {{- include "tidemill.containerSecurity" . | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- with .service.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: {}
        {{- with .service.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "tidemill.selectorLabels" $labels | nindent 14 }}
      {{- with .service.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .service.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .service.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}

{{- define "tidemill.service.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "tidemill.service.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "tidemill.labels" (dict "root" .root "component" .name) | nindent 4 }}
spec:
  selector:
    {{- include "tidemill.selectorLabels" (dict "root" .root "component" .name) | nindent 4 }}
  ports:
    - name: http
      port: {{ .service.port }}
      targetPort: http
{{- end -}}

{{- define "tidemill.service.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "tidemill.service.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "tidemill.labels" (dict "root" .root "component" .name) | nindent 4 }}
automountServiceAccountToken: false
{{- end -}}

{{- define "tidemill.service.autoscaler" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "tidemill.service.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "tidemill.labels" (dict "root" .root "component" .name) | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "tidemill.service.name" . }}
  minReplicas: {{ .service.autoscaling.minReplicas }}
  maxReplicas: {{ .service.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .service.autoscaling.targetCPUUtilizationPercentage }}
  behavior:
    {{- toYaml .service.autoscaling.behavior | nindent 4 }}
{{- end -}}

{{- define "tidemill.service.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "tidemill.service.name" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "tidemill.labels" (dict "root" .root "component" .name) | nindent 4 }}
spec:
  # One at a time: a drain of a node is slowed down and never blocked.
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "tidemill.selectorLabels" (dict "root" .root "component" .name) | nindent 6 }}
{{- end -}}
