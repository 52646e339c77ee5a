# Two images of one code base: `api`, without torch, and `worker`, with torch and picture-book.
#
#   docker build --target api --tag imagen-api .
#   docker build --target worker --tag imagen-worker .    # with CUDA, as PyPI's torch is
#   docker build --target worker --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .

FROM python:3.11.13-slim-bookworm AS python

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1


FROM python AS dependencies

WORKDIR /srv/imagen
RUN python3 -m venv /opt/imagen
ENV PATH=/opt/imagen/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_PROGRESS_BAR=off
COPY pyproject.toml constraints.txt ./
# Dependencies alone are installed: what is ours is copied later, and may change without all of them
# being installed again.
RUN mkdir app benchmarks model workers && touch LICENSE README.md


FROM dependencies AS api-dependencies

RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --editable '.[s3,tracing]'


FROM dependencies AS worker-dependencies

ARG TORCH_INDEX=""
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        --editable '.[s3,tracing,worker]'


FROM python AS runtime

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Imagen, self-hosted" \
      org.opencontainers.image.description="A text-to-image service that runs a pixel-space cascade" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# The root file system may be read-only: what is written lies in the volume /data and in /tmp.
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin imagen \
    && install --directory --owner=imagen --group=imagen /data
ENV PATH=/opt/imagen/bin:$PATH \
    PYTHONPATH=/srv/imagen \
    XDG_CACHE_HOME=/tmp/cache \
    HF_HOME=/data/huggingface \
    IMAGEN_DATA_DIR=/data
VOLUME /data
WORKDIR /srv/imagen
USER 10001:10001
# Python is process 1, and takes SIGTERM itself: the API answers what it has begun, a worker hands
# its tasks back.
ENTRYPOINT ["imagen"]


FROM runtime AS api

COPY --from=api-dependencies /opt/imagen /opt/imagen
COPY app app
COPY workers/__init__.py workers/
COPY workers/jobs workers/jobs
ENV IMAGEN_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
CMD ["api"]


FROM runtime AS worker

COPY --from=worker-dependencies /opt/imagen /opt/imagen
COPY app app
COPY workers workers
COPY model model
ENV IMAGEN_METRICS_HOST=0.0.0.0 \
    IMAGEN_METRICS_PORT=9100
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9100/metrics', timeout=4)"]
CMD ["worker"]
