# syntax=docker/dockerfile:1
# The model server without a model: the version's folder is mounted at /model, or put on top by docker/model.Dockerfile.
#   docker build -f docker/serving.Dockerfile -t modelops-serving .
#   docker build -f docker/serving.Dockerfile --build-arg REQUIREMENTS=requirements-serving-sklearn.txt -t modelops-serving:sklearn .
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS libraries
ARG REQUIREMENTS=requirements-serving.txt
WORKDIR /build
COPY requirements.lock docker/requirements-serving.txt docker/requirements-serving-sklearn.txt ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -r ${REQUIREMENTS} -c requirements.lock

FROM python:${PYTHON}
# LightGBM needs OpenMP's runtime; ONNX Runtime brings its own
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home server \
    && mkdir /model /log && chown server /log
COPY --from=libraries /venv /venv
WORKDIR /app
COPY include/__init__.py include/__init__.py
COPY include/lifecycle/__init__.py include/lifecycle/errors.py include/lifecycle/
COPY include/serving include/serving
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
USER server
VOLUME ["/log"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
# --digest is whoever deploys' to say: nothing in an image can vouch for itself
ENTRYPOINT ["python", "-m", "include.serving.server", "--directory", "/model", "--log-dir", "/log", "--host", "0.0.0.0", "--port", "8080"]
