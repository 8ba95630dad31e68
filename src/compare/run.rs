use std::{convert::Infallible, error::Error, future::Future, sync::Arc};

use polyperf_transport::Transport;
use tokio::sync::watch;

use super::{Comparison, Config, Figures, Row, Run, SCHEMA, Step, Target};
use crate::{
    client::{self, Client},
    engine,
    outcome::{Failure, FailureCode},
    registry::Registry,
    server::Server,
    spec::{Direction, SpecErrors, SpecFields, TestSpec},
    trial::unix_time,
};

/// Runs the test with each transport in each direction, one after another.
///
/// `progress` is told of each test before it starts. When `stop` is ready, the running test ends in
/// order, no other one starts, and what was measured up to there is returned.
///
/// # Errors
///
/// Everything that is wrong with the test, at once. What fails later is in the rows.
pub async fn run(
    config: &Config,
    progress: impl FnMut(Step) + Send,
    stop: impl Future<Output = String> + Send,
) -> Result<Comparison, SpecErrors> {
    let test = TestSpec::try_from(config.test.clone())?;
    let (tell, told) = watch::channel(None);
    let listen = async {
        tell.send_replace(Some(stop.await));
        std::future::pending::<Infallible>().await
    };
    let mut comparing = Comparing { config, progress, told: told.clone(), index: 0 };
    let started = unix_time();
    let rows = tokio::select! {
        rows = comparing.rows() => rows,
        never = listen => match never {},
    };
    let stopped = told.borrow().clone().filter(|_| rows.iter().any(was_cut_short));
    Ok(Comparison {
        schema: SCHEMA,
        target: config.target.clone(),
        started,
        host: engine::host_info(),
        test,
        rows,
        stopped,
    })
}

struct Comparing<'a, P> {
    config: &'a Config,
    progress: P,
    /// Why to stop, once there is a reason.
    told: watch::Receiver<Option<String>>,
    index: usize,
}

impl<P: FnMut(Step) + Send> Comparing<'_, P> {
    async fn rows(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (nth, transport) in self.config.transports.iter().enumerate() {
            self.index = nth * 2;
            let row = match &self.config.target {
                Target::Host { host, port } => {
                    self.row(transport.name(), with_control(self.config, None), host, *port).await
                }
                Target::InProcess => self.row_in_process(transport).await,
            };
            rows.push(row);
        }
        rows
    }

    /// Serves one transport, and measures it. Each has a server of its own, so that one that cannot
    /// even listen takes no other with it.
    async fn row_in_process(&mut self, transport: &Arc<dyn Transport>) -> Row {
        let name = transport.name();
        if self.told.borrow().is_some() {
            return Row::new(name, [Run::Skipped, Run::Skipped]);
        }
        let registry = with_control(self.config, Some(transport));
        let server = Server::builder()
            .listen(([127, 0, 0, 1], 0).into())
            .transports(registry.clone())
            .drive(self.config.drive)
            .bind();
        let server = match server.await {
            Ok(server) => server,
            Err(error) => {
                self.announce(name, Direction::Forward);
                let failure = Failure::new(FailureCode::Connect, chain(&error));
                return Row::new(name, [Run::Failed { failure }, Run::Skipped]);
            }
        };
        let control = server.local_addrs().into_iter().find(|(of, _)| *of == self.config.control);
        let addr = control.map_or(([127, 0, 0, 1], 0).into(), |(_, addr)| addr);
        let handle = server.handle();
        let measure = async {
            let row = self.row(name, registry, &addr.ip().to_string(), addr.port()).await;
            handle.stop();
            row
        };
        let (row, _) = tokio::join!(measure, server.run(std::future::pending()));
        row
    }

    /// Measures both directions. A transport that cannot be used one way is not tried the other
    /// way: each try may take as long as its deadline.
    async fn row(&mut self, name: &'static str, registry: Registry, host: &str, port: u16) -> Row {
        let mut runs = [Run::Skipped, Run::Skipped];
        for (run, direction) in runs.iter_mut().zip([Direction::Forward, Direction::Reverse]) {
            if self.told.borrow().is_some() {
                break;
            }
            self.announce(name, direction);
            let fields =
                SpecFields { transport: name.to_owned(), direction, ..self.config.test.clone() };
            *run = self.measure(fields, registry.clone(), host, port).await;
            if matches!(run, Run::Failed { .. }) {
                break;
            }
        }
        Row::new(name, runs)
    }

    async fn measure(
        &self,
        fields: SpecFields,
        transports: Registry,
        host: &str,
        port: u16,
    ) -> Run {
        let spec = match TestSpec::try_from(fields) {
            Ok(spec) => spec,
            Err(errors) => {
                let failure = Failure::new(FailureCode::Unsupported, errors.to_string());
                return Run::Failed { failure };
            }
        };
        let client = Client::new(client::Config {
            port,
            transports,
            control: Some(self.config.control.clone()),
            connect_timeout: self.config.connect_timeout,
            queue_timeout: self.config.queue_timeout,
            auth: self.config.auth.clone(),
            drive: self.config.drive,
            keep_intervals: false,
            ..client::Config::new(host, spec)
        });
        match client.run_until(told(self.told.clone())).await {
            Ok(outcome) => {
                Run::Measured { figures: Figures::of(&outcome, &self.config.target), outcome }
            }
            Err(failure) => Run::Failed { failure },
        }
    }

    fn announce(&mut self, transport: &'static str, direction: Direction) {
        self.index += 1;
        let of = self.config.transports.iter().count() * 2;
        (self.progress)(Step { transport, direction, index: self.index, of });
    }
}

impl Row {
    fn new(transport: &str, [forward, reverse]: [Run; 2]) -> Self {
        Self { transport: transport.to_owned(), forward, reverse }
    }
}

/// Returns `transport`, or all that are compared, and the transport of the control connection.
fn with_control(config: &Config, transport: Option<&Arc<dyn Transport>>) -> Registry {
    let standard = Registry::standard();
    let control =
        config.transports.get(&config.control).or_else(|| standard.get(&config.control)).cloned();
    // Control comes first: it picks the port, and the others follow it.
    let registry = control.into_iter().fold(Registry::empty(), Registry::with);
    match transport {
        Some(transport) => registry.with(Arc::clone(transport)),
        None => config.transports.iter().cloned().fold(registry, Registry::with),
    }
}

async fn told(mut told: watch::Receiver<Option<String>>) -> String {
    let reason = match told.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone(),
        Err(_) => None,
    };
    match reason {
        Some(reason) => reason,
        None => std::future::pending().await,
    }
}

/// Whether a comparison that was told to stop has something missing from this row.
fn was_cut_short(row: &Row) -> bool {
    use crate::outcome::Ended;
    row.runs().into_iter().any(|(_, run)| match run {
        Run::Measured { outcome, .. } => matches!(outcome.ended, Ended::Stopped { .. }),
        Run::Failed { failure } => failure.code == FailureCode::Cancelled,
        Run::Skipped => true,
    })
}

/// Returns an error with everything that caused it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
