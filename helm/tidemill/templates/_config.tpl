{{/* A service's configuration: a file for what may be read, the environment for what may not. */}}

{{/* Sections and keys. Takes (dict "root" $ "component" name "service" values); gives YAML. */}}
{{- define "tidemill.service.settings" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $definitions := $values.definitions }}
{{- $nats := dict
      "url" (include "tidemill.nats.url" $root)
      "replicas" $values.nats.replicas
      "partitions" $values.nats.partitions
      "log_bytes" (mul $values.nats.logGiB 1073741824) }}
{{- with $values.nats.user }}
{{- $_ := set $nats "user" . }}
{{- end }}
{{- /* An ingress or load balancer, or a node that stands in for callers, has a private address. */}}
{{- $settings := dict
      "http" (dict
        "listen" (printf "0.0.0.0:%d" (int .service.port))
        "operations" (printf "0.0.0.0:%d" (int .service.operationsPort))
        "shared_networks" (list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" "100.64.0.0/10" "fc00::/7"))
      "nats" $nats
      "auth" (dict "folder" "/etc/tidemill/keys")
      "telemetry" (dict) }}
{{- with include "tidemill.otlpEndpoint" $root }}
{{- $_ := set $settings.telemetry "otlp_endpoint" . }}
{{- end }}
{{- if ne .component "ingestion" }}
{{- $_ := set $settings "store" (dict "max_connections" .service.storeConnections) }}
{{- end }}
{{- if and $definitions.metrics (has .component (list "aggregation" "alert" "reporting" "lake")) }}
{{- $_ := set $settings "definitions" (dict "metrics" "/etc/tidemill/metrics") }}
{{- end }}
{{- if and $values.jaeger.publicUrl (has .component (list "alert" "reporting")) }}
{{- $_ := set $settings "links" (dict "jaeger" $values.jaeger.publicUrl) }}
{{- end }}
{{- if eq .component "ingestion" }}
{{- with include "tidemill.backlogOf" $root }}
{{- $_ := set $settings "limits" (dict "backlog_of" (splitList " " .)) }}
{{- end }}
{{- with $definitions.schemas }}
{{- $_ := set $settings "schemas" (dict "folder" "/etc/tidemill/schemas") }}
{{- end }}
{{- else if eq .component "enrichment" }}
{{- with $definitions.reference }}
{{- $files := list }}
{{- range $file, $_ := . }}
{{- $files = append $files (printf "/etc/tidemill/reference/%s" $file) }}
{{- end }}
{{- $_ := set $settings "reference" (dict "files" $files) }}
{{- end }}
{{- else if eq .component "aggregation" }}
{{- $_ := set $settings "metrics_store" (dict
      "kind" "influxdb"
      "url" (include "tidemill.influxdb.url" $root)
      "org" $values.influxdb.org
      "bucket" $values.influxdb.bucket) }}
{{- else if eq .component "lake" }}
{{- $s3 := dict "allow_http" $values.lake.allowHttp }}
{{- with $values.lake.endpoint }}
{{- $_ := set $s3 "endpoint" . }}
{{- end }}
{{- with $values.lake.region }}
{{- $_ := set $s3 "region" . }}
{{- end }}
{{- $_ := set $settings "lake" (dict "url" $values.lake.url) }}
{{- $_ := set $settings "lake.s3" $s3 }}
{{- with $values.openlineage.url }}
{{- $_ := set $settings "openlineage" (dict "url" . "namespace" $values.openlineage.namespace) }}
{{- end }}
{{- else if eq .component "alert" }}
{{- with $definitions.rules }}
{{- $_ := set $settings "rules" (dict "folder" "/etc/tidemill/rules") }}
{{- end }}
{{- end }}
{{- $all := include "tidemill.overlay" (list $settings $values.config) | fromYaml }}
{{- include "tidemill.overlay" (list $all .service.config) -}}
{{- end -}}

{{/*
For whom senders wait, in one line with spaces, where not all are there that are on the way to a number: what
a service has left unread that was switched off must hold nobody up. Without aggregation the numbers are the lake's.
*/}}
{{- define "tidemill.backlogOf" -}}
{{- $services := include "tidemill.services" . | fromYaml }}
{{- if not (and $services.aggregation $services.reporting) }}
{{- $found := list }}
{{- range list "enrichment" "aggregation" "reporting" (ternary "" "lake" (hasKey $services "aggregation")) }}
{{- if hasKey $services . }}
{{- $found = append $found . }}
{{- end }}
{{- end }}
{{- join " " $found -}}
{{- end -}}
{{- end -}}

{{/* The same as TOML. A value is written as JSON, which for texts, numbers and lists is TOML too. */}}
{{- define "tidemill.service.toml" -}}
{{- range $section, $keys := include "tidemill.service.settings" . | fromYaml }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{ end -}}
{{- end -}}

{{/* Folders of definitions that a service reads, in one line with spaces. */}}
{{- define "tidemill.service.definitions" -}}
{{- $reads := dict
      "ingestion" (list "schemas")
      "enrichment" (list "reference")
      "aggregation" (list "metrics")
      "alert" (list "metrics" "rules")
      "recommendation" (list)
      "reporting" (list "metrics")
      "lake" (list "metrics") }}
{{- $found := list }}
{{- range $kind := index $reads .component }}
{{- if index $.root.Values.definitions $kind }}
{{- $found = append $found $kind }}
{{- end }}
{{- end }}
{{- join " " $found -}}
{{- end -}}

{{/*
Secrets of a service, as files: part, then setting and key. Takes (dict "root" $ "component" name); gives YAML.
*/}}
{{- define "tidemill.service.secrets" -}}
{{- $values := .root.Values }}
{{- $secrets := dict }}
{{- if $values.nats.user }}
{{- $_ := set $secrets "nats" (dict "NATS__PASSWORD" "nats-password") }}
{{- end }}
{{- /* Ingestion's store is the log itself. */}}
{{- if ne .component "ingestion" }}
{{- $_ := set $secrets "postgres" (dict "STORE__URL" (printf "%s-url" .component)) }}
{{- end }}
{{- if eq .component "aggregation" }}
{{- $_ := set $secrets "influxdb" (dict "METRICS_STORE__TOKEN" "influxdb-token") }}
{{- else if eq .component "lake" }}
{{- if $values.lake.existingSecret }}
{{- $_ := set $secrets "lake" (dict "LAKE__S3__ACCESS_KEY_ID" "access-key-id" "LAKE__S3__SECRET_ACCESS_KEY" "secret-access-key") }}
{{- end }}
{{- if and $values.openlineage.url $values.openlineage.existingSecret }}
{{- $_ := set $secrets "openlineage" (dict "OPENLINEAGE__KEY" "openlineage-key") }}
{{- end }}
{{- else if and (eq .component "alert") (include "tidemill.slack" .root) }}
{{- $_ := set $secrets "slack" (dict "SLACK__WEBHOOK_URL" "slack-webhook-url") }}
{{- end }}
{{- toYaml $secrets -}}
{{- end -}}

{{/* What is secret comes as files: the environment names them. */}}
{{- define "tidemill.service.env" -}}
{{- $root := .root }}
- name: TIDEMILL_CONFIG
  value: /etc/tidemill/config/config.toml
{{- range $part, $settings := include "tidemill.service.secrets" . | fromYaml }}
{{- range $setting, $key := $settings }}
- name: TIDEMILL_{{ $setting }}_FILE
  value: /etc/tidemill/secrets/{{ $key }}
{{- end }}
{{- end }}
{{- range $key, $value := .service.env }}
- name: {{ $key }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{/* Roles whose keys a service gets to see: those that it serves, in one line with spaces. */}}
{{- define "tidemill.service.roles" -}}
{{- index (dict
      "ingestion" "write"
      "enrichment" "operate"
      "aggregation" "read operate"
      "alert" "read operate"
      "recommendation" "read operate"
      "reporting" "read operate"
      "lake" "read operate") .component -}}
{{- end -}}

{{/*
Changes when the pods have to start anew: with the file, with definitions, and with secrets that
come from values. Of made-up ones the hash would differ in every rendering; keys are read again
while a service runs.
*/}}
{{- define "tidemill.service.checksum" -}}
{{- $all := list (include "tidemill.service.toml" .) }}
{{- range $kind := splitList " " (include "tidemill.service.definitions" .) }}
{{- if $kind }}
{{- $all = append $all (index $.root.Values.definitions $kind | toJson) }}
{{- end }}
{{- end }}
{{- if eq .component "alert" }}
{{- $all = append $all .root.Values.slack.webhookUrl }}
{{- end }}
{{- join "\n" $all | sha256sum -}}
{{- end -}}
