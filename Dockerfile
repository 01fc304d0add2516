# Two stages: the first one builds, the second one holds what runs. Nothing is downloaded at run time.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY boilerplate boilerplate
COPY bids_qmri bids_qmri
RUN python -m venv --without-pip /opt/bids_qmri \
 && pip --no-cache-dir --disable-pip-version-check wheel --no-deps --wheel-dir /tmp/wheels . \
 && pip --no-cache-dir --disable-pip-version-check --python /opt/bids_qmri/bin/python \
      install --constraint constraints.txt "$(echo /tmp/wheels/*.whl)[dicom]"

FROM python:${PYTHON}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="bids_qmri" \
      org.opencontainers.image.description="BIDS-App for quantitative MRI" \
      org.opencontainers.image.version="${VERSION}" \
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
 && python -c "import bids, dipy, matplotlib.font_manager, nipype" \
 && chmod -R go=u "$HOME"

USER bids_qmri
WORKDIR /tmp
ENTRYPOINT ["bids_qmri"]
