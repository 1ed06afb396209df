{{/*
Everything that one of our services is made of. services.yaml calls each once a
service, with (dict "root" $ "component" name "service" values).
*/}}

{{- define "tidemill.service.configMap" -}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "tidemill.metadata" . | nindent 2 }}
data:
  config.toml: |-
    {{- include "tidemill.service.toml" . | trim | nindent 4 }}
{{- end -}}

{{- define "tidemill.service.service" -}}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "tidemill.metadata" . | nindent 2 }}
  {{- with .service.serviceAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .service.serviceType }}
  selector:
    {{- include "tidemill.selectorLabels" . | nindent 4 }}
  ports:
    - name: http
      port: {{ .service.port }}
      targetPort: http
{{- end -}}

{{- define "tidemill.service.deployment" -}}
{{- $definitions := without (splitList " " (include "tidemill.service.definitions" .)) "" }}
{{- $secrets := include "tidemill.service.secrets" . | fromYaml }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "tidemill.metadata" . | nindent 2 }}
spec:
  {{- if not (or .service.autoscaling.enabled .service.keda.enabled (kindIs "invalid" .service.replicas)) }}
  replicas: {{ .service.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      {{- include "tidemill.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "tidemill.labels" . | nindent 8 }}
        {{- with .service.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        checksum/config: {{ include "tidemill.service.checksum" . }}
        {{- if eq .root.Values.metrics.discovery "annotations" }}
        prometheus.io/scrape: "true"
        prometheus.io/port: {{ .service.operationsPort | quote }}
        prometheus.io/path: /metrics
        {{- end }}
        {{- with .service.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "tidemill.name" . }}
      {{- include "tidemill.podBasics" 65532 | nindent 6 }}
      # preStop, a drain of at most 20 s and the last spans fit in.
      terminationGracePeriodSeconds: {{ .service.terminationGracePeriodSeconds }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .service.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "tidemill.image" (dict "root" .root "component" .component "image" .service.image "digest" .service.digest) | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          env:
            {{- include "tidemill.service.env" . | trim | nindent 12 }}
          ports:
            - name: http
              containerPort: {{ .service.port }}
            # Not in the Service: who calls the API has no business there.
            - name: operations
              containerPort: {{ .service.operationsPort }}
          # It answers before its dependencies are there; a process that does not is hung.
          startupProbe:
            httpGet: {path: /livez, port: operations}
            periodSeconds: 1
            timeoutSeconds: 2
            failureThreshold: 60
          # Asks nothing of others: their outage is no reason to kill this pod.
          livenessProbe:
            httpGet: {path: /livez, port: operations}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          # Says what it waits for.
          readinessProbe:
            httpGet: {path: /readyz, port: operations}
            periodSeconds: 3
            timeoutSeconds: 3
            failureThreshold: 2
          lifecycle:
            preStop:
              # Requests still arrive until every node has heard that this pod is leaving.
              sleep: {seconds: 5}
          resources:
            {{- toYaml .service.resources | nindent 12 }}
          {{- include "tidemill.containerSecurity" . | nindent 10 }}
          volumeMounts:
            - {name: config, mountPath: /etc/tidemill/config, readOnly: true}
            - {name: keys, mountPath: /etc/tidemill/keys, readOnly: true}
            {{- if $secrets }}
            - {name: secrets, mountPath: /etc/tidemill/secrets, readOnly: true}
            {{- end }}
            {{- range $definitions }}
            - {name: {{ . }}, mountPath: /etc/tidemill/{{ . }}, readOnly: true}
            {{- end }}
            - {name: tmp, mountPath: /tmp}
            {{- with .service.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: config
          configMap:
            name: {{ include "tidemill.name" . }}
        {{- with $secrets }}
        - name: secrets
          projected:
            defaultMode: 0440
            sources:
              {{- range $part, $settings := . }}
              {{- include "tidemill.secretFiles" (dict "root" $.root "component" $part "keys" (values $settings | sortAlpha)) | nindent 14 }}
              {{- end }}
        {{- end }}
        - name: keys
          secret:
            secretName: {{ include "tidemill.secretName" (dict "root" .root "component" "auth") | quote }}
            defaultMode: 0440
            items:
              {{- range splitList " " (include "tidemill.service.roles" .) }}
              - {key: {{ . }}, path: {{ . }}}
              {{- end }}
        {{- range $definitions }}
        - name: {{ . }}
          configMap:
            name: {{ include "tidemill.name" (dict "root" $.root "component" .) }}
        {{- end }}
        - name: tmp
          emptyDir: {sizeLimit: {{ ternary .root.Values.lake.scratch "64Mi" (eq .component "lake") }}}
        {{- with .service.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- include "tidemill.spread" (dict "root" .root "component" .component "when" .service.whenUnsatisfiable "moves" true) | nindent 6 }}
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

{{- define "tidemill.service.autoscaler" -}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "tidemill.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "tidemill.name" . }}
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

{{/*
Lag of each durable consumer of the service, added up. One trigger a consumer: KEDA alone would go
by the largest of them.
*/}}
{{- define "tidemill.service.scaledObject" -}}
{{- $consumers := list }}
{{- $prefixes := dict
      "enrichment" (list "RAW" "enrichment")
      "aggregation" (list "ENRICHED" "aggregation")
      "alert" (list "ENRICHED" "alert-events")
      "recommendation" (list "ENRICHED" "recommendation") }}
{{- with index $prefixes .component }}
{{- range $p := until (int $.root.Values.nats.partitions) }}
{{- $consumers = append $consumers (dict "stream" (index $prefixes $.component 0) "name" (printf "%s-%d" (index $prefixes $.component 1) $p)) }}
{{- end }}
{{- end }}
{{- if eq .component "ingestion" }}
{{- $consumers = append $consumers (dict "stream" "REDRIVE" "name" "ingestion-redrive") }}
{{- $consumers = append $consumers (dict "stream" "MEASURED" "name" "ingestion-measured") }}
{{- else if eq .component "alert" }}
{{- $consumers = append $consumers (dict "stream" "METRICS" "name" "alert-metrics") }}
{{- else if eq .component "lake" }}
{{- range $p := until (int $.root.Values.nats.partitions) }}
{{- $consumers = append $consumers (dict "stream" "RAW" "name" (printf "lake-bronze-%d" $p)) }}
{{- $consumers = append $consumers (dict "stream" "ENRICHED" "name" (printf "lake-silver-%d" $p)) }}
{{- end }}
{{- else if eq .component "reporting" }}
{{- range $stream := list "METRICS" "ALERTS" "RAW" "DLQ" }}
{{- $consumers = append $consumers (dict "stream" $stream "name" (printf "reporting-%s" (lower $stream))) }}
{{- end }}
{{- end }}
{{- $terms := list }}
{{- range $i, $_ := $consumers }}
{{- $terms = append $terms (printf "c%d" $i) }}
{{- end }}
{{- $monitoring := .root.Values.nats.monitoring }}
{{- if .root.Values.nats.enabled }}
{{- $monitoring = printf "%s-nats-headless.%s.svc:8222" (include "tidemill.fullname" .root) .root.Release.Namespace }}
{{- end }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "tidemill.metadata" . | nindent 2 }}
  annotations:
    # An upgrade that turns KEDA on finds our own autoscaler of this name.
    scaledobject.keda.sh/transfer-hpa-ownership: "true"
spec:
  scaleTargetRef:
    name: {{ include "tidemill.name" . }}
  pollingInterval: {{ .service.keda.pollingInterval }}
  minReplicaCount: {{ .service.autoscaling.minReplicas }}
  maxReplicaCount: {{ .service.autoscaling.maxReplicas }}
  advanced:
    {{- if gt (len $terms) 1 }}
    scalingModifiers:
      formula: {{ join " + " $terms | quote }}
      target: {{ .service.keda.lagThreshold | quote }}
      metricType: AverageValue
    {{- end }}
    horizontalPodAutoscalerConfig:
      name: {{ include "tidemill.name" . }}
      behavior:
        {{- toYaml .service.autoscaling.behavior | nindent 8 }}
  triggers:
    {{- range $i, $consumer := $consumers }}
    - type: nats-jetstream
      name: {{ index $terms $i }}
      metadata:
        natsServerMonitoringEndpoint: {{ $monitoring | quote }}
        account: {{ $.root.Values.nats.account | quote }}
        stream: {{ $consumer.stream }}
        consumer: {{ $consumer.name }}
        lagThreshold: {{ $.service.keda.lagThreshold | quote }}
    {{- end }}
{{- end -}}
