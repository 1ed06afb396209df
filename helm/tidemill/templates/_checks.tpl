{{/* What the schema cannot refuse: values that contradict each other. Each message says what to do. */}}
{{- define "tidemill.checks" -}}
{{- $v := .Values }}
{{- if and (not $v.nats.enabled) (not $v.nats.url) }}
{{- fail "nats.enabled is false: set nats.url to your own server, for instance nats://nats.example:4222" }}
{{- end }}
{{- if and (not $v.nats.enabled) $v.nats.user (not $v.nats.existingSecret) }}
{{- fail "nats.enabled is false: name a Secret with the key nats-password in nats.existingSecret, or set nats.user to \"\"" }}
{{- end }}
{{- if and (not $v.postgres.enabled) (not $v.postgres.existingSecret) }}
{{- fail (printf "postgres.enabled is false: name a Secret with `<service>-url` of %s in postgres.existingSecret" (include "tidemill.stateful" $ | replace " " ", ")) }}
{{- end }}
{{- if and $v.lake.enabled (not (hasPrefix "s3://" $v.lake.url)) }}
{{- fail "lake.enabled is true: set lake.url to s3://bucket/prefix, since its replicas share the tables" }}
{{- end }}
{{- if and $v.lake.enabled $v.lake.spark.enabled (not $v.lake.spark.image) }}
{{- fail "lake.spark.enabled is true: set lake.spark.image to an image of Spark 4 with Delta and hadoop-aws" }}
{{- end }}
{{- if and $v.replay.enabled (not $v.replay.name) }}
{{- fail "replay.enabled is true: set replay.name to the generation's name" }}
{{- end }}
{{- if and $v.services.aggregation.enabled (not $v.influxdb.enabled) (not (and $v.influxdb.url $v.influxdb.existingSecret)) }}
{{- fail "influxdb.enabled is false: set influxdb.url, and name a Secret with the key influxdb-token in influxdb.existingSecret" }}
{{- end }}
{{- if $v.nats.enabled }}
{{- $needed := add (div (add (mul $v.nats.logGiB 5) 1) 2) 1 }}
{{- if lt (trimSuffix "Gi" $v.nats.storage | int) (int $needed) }}
{{- fail (printf "nats.storage is %s: a log of nats.logGiB %d GiB and the streams behind it need %dGi" $v.nats.storage (int $v.nats.logGiB) $needed) }}
{{- end }}
{{- $standing := lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-nats" (include "tidemill.fullname" .)) }}
{{- if and $standing (ne (int $v.nats.replicas) (int $standing.spec.replicas)) }}
{{- fail (printf "nats.replicas cannot change from %d to %d in place: a single server's streams do not move into a cluster. docs/kubernetes.md says how" (int $standing.spec.replicas) (int $v.nats.replicas)) }}
{{- end }}
{{- end }}
{{- if $v.image.requireDigest }}
{{- $images := dict "test" (include "tidemill.image" (dict "root" $ "component" "tidemill" "image" $v.test.image "digest" $v.test.digest)) }}
{{- range $component, $_ := include "tidemill.services" . | fromYaml }}
{{- $service := include "tidemill.service.values" (dict "root" $ "component" $component) | fromYaml }}
{{- $_ := set $images (printf "services.%s" $component) (include "tidemill.image" (dict "root" $ "component" $component "image" $service.image "digest" $service.digest)) }}
{{- end }}
{{- if and $v.lake.enabled $v.lake.spark.enabled }}
{{- $_ := set $images "lake.spark" $v.lake.spark.image }}
{{- end }}
{{- if $v.replay.enabled }}
{{- $_ := set $images "replay" (include "tidemill.image" (dict "root" $ "component" "tidemill" "image" $v.replay.image "digest" $v.replay.digest)) }}
{{- end }}
{{- range $server := list "nats" "postgres" "influxdb" "jaeger" }}
{{- if ternary (include "tidemill.influxdb" $) (index $v $server).enabled (eq $server "influxdb") }}
{{- $_ := set $images $server (index $v $server).image }}
{{- end }}
{{- end }}
{{- range $part, $image := $images }}
{{- if not (regexMatch "@sha256:[0-9a-f]{64}$" $image) }}
{{- fail (printf "image.requireDigest is true, and %s has none: give %s.digest, or an image that ends with @sha256:… (%s)" $part $part $image) }}
{{- end }}
{{- end }}
{{- end }}
{{- $reads := dict
      "aggregation" "enrichment" "alert" "enrichment" "recommendation" "enrichment" "lake" "enrichment"
      "reporting" "aggregation" }}
{{- range $component, $_ := include "tidemill.services" . | fromYaml }}
{{- $before := index $reads $component }}
{{- if and $before (not (index $v.services $before).enabled) }}
{{- fail (printf "services.%s.enabled is false: %s reads what it makes. Switch both off, or none" $before $component) }}
{{- end }}
{{- end }}
{{- $connections := 0 }}
{{- range $component, $_ := include "tidemill.services" . | fromYaml }}
{{- $service := include "tidemill.service.values" (dict "root" $ "component" $component) | fromYaml }}
{{- $most := int (ternary $service.autoscaling.maxReplicas ($service.replicas | default 1) (or $service.autoscaling.enabled $service.keda.enabled)) }}
{{- if gt (int $service.autoscaling.minReplicas) (int $service.autoscaling.maxReplicas) }}
{{- fail (printf "services.%s.autoscaling: minReplicas %d is more than maxReplicas %d" $component (int $service.autoscaling.minReplicas) (int $service.autoscaling.maxReplicas)) }}
{{- end }}
{{- if and (has $component (list "enrichment" "aggregation")) (gt $most (int $v.nats.partitions)) }}
{{- fail (printf "services.%s: %d replicas cannot share nats.partitions %d: lower autoscaling.maxReplicas or replicas" $component $most (int $v.nats.partitions)) }}
{{- end }}
{{- if and $service.keda.enabled (not $v.nats.enabled) (not $v.nats.monitoring) }}
{{- fail (printf "services.%s.keda reads the lag from NATS's monitoring port: set nats.monitoring to host:8222" $component) }}
{{- end }}
{{- if lt (int $service.terminationGracePeriodSeconds) 35 }}
{{- fail (printf "services.%s.terminationGracePeriodSeconds is %d: at least 35 are needed to drain" $component (int $service.terminationGracePeriodSeconds)) }}
{{- end }}
{{- if ne $component "ingestion" }}
{{- $connections = add $connections (mul (add $most 1) $service.storeConnections) }}
{{- end }}
{{- end }}
{{- if and $v.postgres.enabled (gt (int (add $connections 10)) (int $v.postgres.maxConnections)) }}
{{- fail (printf "postgres.maxConnections is %d: the services at their largest, and one more of each while they are upgraded, need %d. Raise it, or lower services.*.autoscaling.maxReplicas or storeConnections" (int $v.postgres.maxConnections) (add $connections 10)) }}
{{- end }}
{{- end -}}
