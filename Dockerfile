# One image a service, out of one build:
#   docker build --build-arg SERVICE=ingestion --tag tidemill/ingestion .
# Only the last stage depends on SERVICE, so that all share the rest. Dependencies
# have a layer of their own, which edits of our code leave alone.
#
# The binaries are static, so that an image is one file and the certificates that it
# trusts: nothing beside it can be attacked or has to be kept up to date.
#
# With BINARIES=prebuilt nothing is compiled here: scripts/images has put binaries
# for this platform, and certificates, into target/images.

# Whoever wants the same bytes each time gives a digest too: rust:1.95-bookworm@sha256:…
ARG RUST_IMAGE=rust:1.95-bookworm
ARG BINARIES=builder
# `none` keeps symbols, for a debugger.
ARG STRIP=symbols

FROM ${RUST_IMAGE} AS chef
RUN apt-get update && apt-get install --yes --no-install-recommends protobuf-compiler && rm -rf /var/lib/apt/lists/* \
 && cargo install --locked cargo-chef@0.1.78 cargo-auditable@0.7.7
WORKDIR /build
ARG STRIP
# `-p tidemill-lake` for the lake, which takes longer to compile than all others.
ARG MORE_PACKAGES=
# What scripts/images sets, too.
ENV CARGO_TARGET_DIR=/build/target \
    CARGO_PROFILE_IMAGE_STRIP=${STRIP} \
    RUSTFLAGS="-C target-feature=+crt-static" \
    PACKAGES="-p tidemill -p tidemill-ingestion -p tidemill-enrichment -p tidemill-aggregation -p tidemill-alert -p tidemill-reporting ${MORE_PACKAGES}"

FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS builder
COPY --from=planner /build/recipe.json .
# With a target named, macros and build scripts are left as they are.
RUN cargo chef cook --profile image --target "$(rustc --print host-tuple)" --locked $PACKAGES --recipe-path recipe.json
COPY . .
# Each binary carries the list of what it is made of, for `cargo audit bin` and SBOM tools.
RUN cargo auditable build --profile image --target "$(rustc --print host-tuple)" --locked $PACKAGES --bins \
 && mkdir /out \
 && cp /etc/ssl/certs/ca-certificates.crt /out/ \
 && find target/*/image -maxdepth 1 -name 'tidemill*' -type f -executable \
      -exec sh -ec 'for binary; do name=${binary##*/}; cp "$binary" "/out/${name#tidemill-}"; done' copy {} +

FROM scratch AS prebuilt
COPY target/images/ /out/

FROM ${BINARIES} AS binaries

FROM scratch
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tidemill-${SERVICE}" \
      org.opencontainers.image.description="Tidemill: ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
COPY LICENSE NOTICE /
COPY --from=binaries /out/ca-certificates.crt /etc/ssl/certs/
COPY --from=binaries /out/${SERVICE} /usr/local/bin/tidemill
USER 65532:65532
# As PID 1 it takes SIGTERM itself: it drains, and ends.
ENTRYPOINT ["/usr/local/bin/tidemill"]
