# Staleguard in an image with nothing else in it, from sources:
#
#     docker build -t staleguard --build-arg STALEGUARD_REVISION="$(git rev-parse HEAD)" .
#     docker run --read-only -p 8080:8080 staleguard \
#         run --config /etc/staleguard/staleguard.toml --upstream http://lrs.example:8000
#
# From a binary that is there already: config/image/Containerfile. Its last stage is this one's, and is what
# tests/real/image builds and runs.

FROM rust:1.89-bookworm AS build
# What benches/ship trains the program with, and reads its counts.
# hadolint ignore=DL3008
RUN rustup component add llvm-tools && apt-get update && \
    apt-get install -y --no-install-recommends nghttp2-client openssl python3 && rm -rf /var/lib/apt/lists/*
# The sources' revision, for staleguard_build_info.
ARG STALEGUARD_REVISION=unknown
WORKDIR /source
COPY . .
# The flag is the target's alone: what runs while building, derive macros above all, cannot be linked statically.
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN host=$(rustc -vV | sed -n 's/^host: //p'); \
    flags=CARGO_TARGET_${host^^}_RUSTFLAGS; \
    export "${flags//-/_}=-C target-feature=+crt-static"; \
    program=$(benches/ship); \
    cp "$program" /staleguard

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /source/config/image/staleguard.toml /etc/staleguard/staleguard.toml
COPY --from=build /staleguard /staleguard
ARG STALEGUARD_REVISION=unknown
LABEL org.opencontainers.image.revision=$STALEGUARD_REVISION
# Nobody's number: no file is owned by it, and Kubernetes sees without a look into the image that it is not root.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/staleguard", "healthcheck", "--config", "/etc/staleguard/staleguard.toml"]
ENTRYPOINT ["/staleguard"]
CMD ["run", "--config", "/etc/staleguard/staleguard.toml"]
