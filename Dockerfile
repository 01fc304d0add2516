# Two stages: the first one builds, the second one holds what runs. Every package is checked by its hash, the base
# image by its digest. Nothing is downloaded at run time.
ARG PYTHON=3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM python:${PYTHON} AS build
WORKDIR /src
COPY requirements requirements
RUN python -m venv /opt/build \
 && /opt/build/bin/pip --no-cache-dir --disable-pip-version-check install --no-deps --require-hashes -r requirements/build.txt \
 && python -m venv --without-pip /opt/bids_qmri \
 && /opt/build/bin/pip --no-cache-dir --disable-pip-version-check --python /opt/bids_qmri/bin/python \
      install --no-deps --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY boilerplate boilerplate
COPY bids_qmri bids_qmri
# The list of all that is in the image comes last; tests of packages stay behind. Fits are compiled here, because
# the image is only read where it runs.
RUN /opt/build/bin/pip --no-cache-dir --disable-pip-version-check wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheels . \
 && /opt/build/bin/pip --no-cache-dir --disable-pip-version-check --python /opt/bids_qmri/bin/python \
      install --no-deps /tmp/wheels/*.whl \
 && find /opt/bids_qmri/lib -type d -name tests -prune -exec rm -rf {} + \
 && /opt/bids_qmri/bin/python -m bids_qmri.estimators.compiled.build \
 && mkdir -p /opt/bids_qmri/share \
 && /opt/build/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
      --output-file /opt/bids_qmri/share/sbom.cdx.json /opt/bids_qmri/bin/python

FROM python:${PYTHON}
ARG VERSION=0.1.0
ARG SOURCE=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="bids_qmri" \
      org.opencontainers.image.description="BIDS-App for quantitative MRI" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /opt/bids_qmri /opt/bids_qmri
ENV PATH=/opt/bids_qmri/bin:$PATH \
    HOME=/home/bids_qmri \
    LOGNAME=bids_qmri \
    MPLCONFIGDIR=/home/bids_qmri/.config/matplotlib \
    NO_ET=1 \
    NIPYPE_NO_ET=1 \
    ORT_DISABLE_TELEMETRY=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1

# Any user may run the image (docker run -u): what libraries keep in the home directory is made here, for all.
RUN useradd --create-home --home-dir "$HOME" bids_qmri \
 && python -c "import dipy, matplotlib.font_manager, nipype" \
 && chmod -R go=u "$HOME"

USER bids_qmri
WORKDIR /tmp
ENTRYPOINT ["bids_qmri"]
