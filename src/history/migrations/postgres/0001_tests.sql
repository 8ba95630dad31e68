-- A line for each test. What is not known is NULL. Times are microseconds, since the Unix epoch where
-- they are points in time.
CREATE TABLE tests (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    started_us BIGINT NOT NULL,
    side TEXT NOT NULL,
    ended TEXT NOT NULL,
    failure TEXT,
    message TEXT,
    session TEXT,
    title TEXT,
    dialect TEXT,
    transport TEXT,
    workload TEXT,
    direction TEXT,
    streams BIGINT,
    host TEXT,
    peer TEXT,
    peer_port BIGINT,
    username TEXT,
    program TEXT,
    peer_program TEXT,
    duration_us BIGINT,
    bytes_up BIGINT,
    bytes_down BIGINT,
    goodput_up DOUBLE PRECISION,
    goodput_down DOUBLE PRECISION,
    rtt_us BIGINT,
    jitter_us BIGINT,
    loss DOUBLE PRECISION,
    retransmits BIGINT,
    latency_p50_ns BIGINT,
    latency_p99_ns BIGINT,
    intervals BIGINT NOT NULL,
    intervals_left_out BIGINT NOT NULL,
    -- What a search for a text looks at, in lower case.
    search TEXT NOT NULL,
    -- About how much the test takes here, documents and histograms included.
    size BIGINT NOT NULL
);

CREATE INDEX tests_by_start ON tests (started_us, id, size);
CREATE INDEX tests_by_transport ON tests (transport, started_us, id);
CREATE INDEX tests_by_direction ON tests (direction, started_us, id);
CREATE INDEX tests_by_side ON tests (side, started_us, id);
CREATE INDEX tests_by_end ON tests (ended, started_us, id);
CREATE INDEX tests_by_host ON tests (host, started_us, id);
CREATE INDEX tests_by_peer ON tests (peer, started_us, id);
CREATE INDEX tests_by_user ON tests (username, started_us, id);

-- The whole outcome, as JSON; its intervals apart, which most readers do not want.
CREATE TABLE documents (
    test_id BIGINT PRIMARY KEY REFERENCES tests (id) ON DELETE CASCADE,
    document TEXT NOT NULL,
    intervals TEXT
);

-- Distributions that the documents leave out: HdrHistogram's format V2, so that they can be merged.
CREATE TABLE histograms (
    test_id BIGINT NOT NULL REFERENCES tests (id) ON DELETE CASCADE,
    -- Where in the document it belongs, as a JSON pointer, and what it is of: the pointer's last word.
    place TEXT NOT NULL,
    what TEXT NOT NULL,
    histogram BYTEA NOT NULL,
    PRIMARY KEY (test_id, place)
);
