# One image per service, out of one build:
#   docker build --build-arg SERVICE=ingestion --tag tidemill/ingestion .
# Only the last stage depends on SERVICE, so that the five share the rest. The
# dependencies have a layer of their own, which edits of our code leave alone.

ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-bookworm AS chef
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /build
ENV CARGO_TARGET_DIR=/build/target \
    PACKAGES="-p tidemill-ingestion -p tidemill-enrichment -p tidemill-aggregation -p tidemill-alert -p tidemill-reporting"

FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS builder
COPY --from=planner /build/recipe.json .
RUN cargo chef cook --release --locked $PACKAGES --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked $PACKAGES --bins \
 && mkdir /out \
 && find target/release -maxdepth 1 -name 'tidemill-*' -type f -executable -exec cp {} /out/ \;

FROM gcr.io/distroless/cc-debian12:nonroot
ARG SERVICE
LABEL org.opencontainers.image.title="tidemill-${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY LICENSE NOTICE /
COPY --from=builder /out/tidemill-${SERVICE} /usr/local/bin/service
USER nonroot:nonroot
ENTRYPOINT ["/usr/local/bin/service"]
