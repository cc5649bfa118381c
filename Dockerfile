# The images of Tollgate: targets ingest, worker, tools and fake-calcom (for the demo and tests).
#
#     docker build --target worker -t tollgate-worker:latest .
#
# Every target runs as user 64646 (no shell, no home) and needs nothing writable but what its
# volumes give it: docker-compose.yml runs them with a read-only root and without capabilities.
# It works with the classic builder as well as with BuildKit. The classic one builds every stage
# above its target, so what takes longest and what all need stands first.

ARG BASE=debian:trixie-slim

# ---- Compiled here, from a clean context; nothing of this stage but the programs is kept ----

FROM ${BASE} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev make pkgconf \
        libevent-dev libhiredis-dev libjson-c-dev libmimalloc-dev libsqlite3-dev libcurl4-openssl-dev libssl-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile ./
COPY scripts/embed-lua scripts/embed-files scripts/
COPY common common
COPY ingest ingest
COPY worker worker
COPY tests/fake_calcom tests/fake_calcom
# Stripped, and with the time of nothing in it: two builds of one commit are the same, byte for byte.
RUN make -j"$(nproc)" V=release all \
    && install -D -s -m 755 -t /out build/release/tollgate-ingest build/release/tollgate-worker build/release/fake-calcom

# ---- What all three programs need at run time ----

FROM ${BASE} AS runtime
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libevent-2.1-7t64 libhiredis1.1.0 libjson-c5 libmimalloc3 libssl3t64 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
    && useradd --uid 64646 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tollgate

FROM runtime AS ingest
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libsqlite3-0 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
    && install -d -o 64646 -g 64646 -m 700 /spool
COPY --from=build /out/tollgate-ingest /usr/local/bin/
USER 64646:64646
ENV TOLLGATE_SPOOL_DIR=/spool
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["tollgate-ingest", "--health"]
ENTRYPOINT ["tollgate-ingest"]

FROM runtime AS worker
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libcurl4t64 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
COPY --from=build /out/tollgate-worker /usr/local/bin/
USER 64646:64646
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["tollgate-worker", "--health"]
ENTRYPOINT ["tollgate-worker"]

FROM runtime AS fake-calcom
COPY --from=build /out/fake-calcom /usr/local/bin/
USER 64646:64646
ENTRYPOINT ["fake-calcom"]

# ---- The operator's scripts, and the story that the demo tells ----

FROM ${BASE} AS tools
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates python3 python3-redis python3-hiredis python3-rich redis-tools \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
    && useradd --uid 64646 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tollgate
COPY scripts /opt/tollgate/scripts
RUN ln -s /opt/tollgate/scripts/tollgate /usr/local/bin/tollgate
COPY tests/samples /opt/tollgate/samples
USER 64646:64646
ENV LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["/opt/tollgate/scripts/deploy/compose/tools"]
