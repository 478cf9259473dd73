# One version on top of the server's image; the build context is the version's folder, and the build fails when it is not the one registered.
#   docker build -f docker/model.Dockerfile --build-arg SERVER=registry.example/modelops-serving:1 --build-arg DIGEST=<sha256> -t registry.example/churn:8 build/serving
ARG SERVER=modelops-serving
FROM ${SERVER}
ARG DIGEST
COPY . /model
RUN ["/bin/sh", "-c", "python -c \"import sys; from pathlib import Path; from include.serving.version_folder import verify; verify(Path('/model'), sys.argv[1])\" \"$DIGEST\""]
LABEL modelops.digest=${DIGEST}
