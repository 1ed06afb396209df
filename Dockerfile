# One image a service, out of one build:
#   docker build --build-arg SERVICE=ingestion --tag tidemill/ingestion .
# Only the last stage depends on SERVICE, so that all share the rest. Dependencies
# have a layer of their own, which edits of our code leave alone.
#
# With BINARIES=prebuilt nothing is compiled here: scripts/images has put binaries
# for this platform (Linux, glibc 2.36 or older) into target/images.

ARG RUST_VERSION=1.95
ARG BINARIES=builder
# `none` keeps symbols, for a debugger.
ARG STRIP=symbols

FROM rust:${RUST_VERSION}-bookworm AS chef
RUN apt-get update && apt-get install --yes --no-install-recommends protobuf-compiler && rm -rf /var/lib/apt/lists/* \
 && cargo install --locked cargo-chef@0.1.78 cargo-auditable@0.7.7
WORKDIR /build
ARG STRIP
ENV CARGO_TARGET_DIR=/build/target \
    CARGO_PROFILE_IMAGE_STRIP=${STRIP} \
    PACKAGES="-p tidemill -p tidemill-ingestion -p tidemill-enrichment -p tidemill-aggregation -p tidemill-alert -p tidemill-reporting"

FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS builder
COPY --from=planner /build/recipe.json .
RUN cargo chef cook --profile image --locked $PACKAGES --recipe-path recipe.json
COPY . .
# Each binary carries the list of what it is made of, for `cargo audit bin` and SBOM tools.
RUN cargo auditable build --profile image --locked $PACKAGES --bins \
 && mkdir /out \
 && for binary in $(find target/image -maxdepth 1 -name 'tidemill*' -type f -executable); do \
      name=$(basename "$binary") && cp "$binary" "/out/${name#tidemill-}"; \
    done

FROM scratch AS prebuilt
COPY target/images/ /out/

FROM ${BINARIES} AS binaries

FROM gcr.io/distroless/cc-debian12:nonroot
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tidemill-${SERVICE}" \
      org.opencontainers.image.description="Tidemill: ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY LICENSE NOTICE /
COPY --from=binaries /out/${SERVICE} /usr/local/bin/tidemill
USER 65532:65532
# As PID 1 it takes SIGTERM itself: it drains, and ends.
ENTRYPOINT ["/usr/local/bin/tidemill"]
