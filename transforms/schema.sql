-- The tables of the reconciliation. Idempotent: on a table that the old service made, it adds
-- the columns and the index in place. All added columns are nullable, so that the old service
-- and old readers keep working.

CREATE TABLE IF NOT EXISTS order_clearance_reconciliacion (
    id                      BIGSERIAL PRIMARY KEY,
    transaction_id          VARCHAR(100),
    reconciliacion_type     VARCHAR(100),
    reconciliacion_status   VARCHAR(100),
    reconciliacion_currency VARCHAR(100),
    reconciliacion_amount   DECIMAL(10,2) NOT NULL DEFAULT 0,
    fk_clearance_id         BIGINT,
    clearance_status        VARCHAR(100),
    clearance_currency      VARCHAR(100),
    clearance_amount        DECIMAL(10,2) NOT NULL DEFAULT 0,
    fk_order_id             BIGINT,
    order_status            VARCHAR(100),
    order_currency          VARCHAR(100),
    order_amount            DECIMAL(10,2) NOT NULL DEFAULT 0,
    created_at              TIMESTAMPTZ NOT NULL,
    updated_at              TIMESTAMPTZ
);

ALTER TABLE order_clearance_reconciliacion
    ADD COLUMN IF NOT EXISTS source_topic     TEXT,
    ADD COLUMN IF NOT EXISTS source_partition INTEGER,
    ADD COLUMN IF NOT EXISTS source_offset    BIGINT,
    ADD COLUMN IF NOT EXISTS source_timestamp TIMESTAMPTZ,
    ADD COLUMN IF NOT EXISTS request_id       TEXT;

-- The idempotency key. Rows of the old service hold NULLs here, which never conflict.
CREATE UNIQUE INDEX IF NOT EXISTS order_clearance_reconciliacion_source_key
    ON order_clearance_reconciliacion
    (source_topic, source_partition, source_offset, source_timestamp);

CREATE TABLE IF NOT EXISTS order_clearance_reconciliacion_dead_letter (
    id               BIGSERIAL PRIMARY KEY,
    source_topic     TEXT        NOT NULL,
    source_partition INTEGER     NOT NULL,
    source_offset    BIGINT      NOT NULL,
    source_timestamp TIMESTAMPTZ NOT NULL,
    raw_key          BYTEA,
    raw_value        BYTEA,
    headers          JSONB       NOT NULL,
    error_code       TEXT        NOT NULL,
    error_message    TEXT        NOT NULL,
    request_id       TEXT        NOT NULL,
    trace_id         TEXT,
    status           TEXT        NOT NULL DEFAULT 'NEW'
                     CHECK (status IN ('NEW', 'REPLAYED', 'FAILED')),
    attempts         INTEGER     NOT NULL DEFAULT 1,
    first_seen_at    TIMESTAMPTZ NOT NULL,
    last_seen_at     TIMESTAMPTZ NOT NULL,
    UNIQUE (source_topic, source_partition, source_offset, source_timestamp)
);
