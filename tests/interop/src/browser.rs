//! Chromium, told what to do over its debugging protocol, through pipes.

use std::{path::Path, process::Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::PATIENCE;

/// A page in a browser of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    _child: Child,
    _profile: TempDir,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    calls: u64,
    /// What the page has complained of, and what it has asked the network for.
    events: Vec<Value>,
}

/// A picture of a part of a page.
#[derive(Debug)]
pub struct Picture {
    /// Red, green and blue of each pixel.
    pub pixels: Vec<[u8; 3]>,
}

impl Browser {
    /// Starts a browser with an empty page of this size, in CSS pixels.
    ///
    /// # Panics
    ///
    /// If the browser cannot be started, or does not answer.
    pub async fn start(width: u32, height: u32, dark: bool) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        // The shell hands its pipes on as those that the browser looks for.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "chromium"])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("there is a shell");
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let mut browser = Self {
            _child: child,
            _profile: profile,
            to: to.expect("piped"),
            from: BufReader::new(from.expect("piped")),
            session: None,
            calls: 0,
            events: Vec::new(),
        };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let target = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", target).await;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", size).await;
        browser.call("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
        browser.wear(if dark { "dark" } else { "light" }).await;
        browser
    }

    /// Tells the page that its reader prefers `dark` or `light` colours.
    ///
    /// # Panics
    ///
    /// If the browser does not answer.
    pub async fn wear(&mut self, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).await;
    }

    /// Loads a file, and waits until its script has run.
    ///
    /// # Panics
    ///
    /// If that does not happen.
    pub async fn open(&mut self, file: &Path) {
        self.visit(&format!("file://{}", file.display())).await;
    }

    /// Loads a page by its address, and waits until its script has run.
    ///
    /// # Panics
    ///
    /// If that does not happen.
    pub async fn visit(&mut self, url: &str) {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": url })).await;
        self.loaded().await;
    }

    /// Runs a script that leads to another page, and waits until that page's script has run.
    ///
    /// # Panics
    ///
    /// If that does not happen.
    pub async fn leave(&mut self, script: &str) {
        self.events.clear();
        self.evaluate(script).await;
        self.loaded().await;
    }

    async fn loaded(&mut self) {
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next().await;
            self.events.push(event);
        }
        // What the script has put off until it was done, is done.
        self.evaluate("new Promise((done) => setTimeout(done))").await;
    }

    /// Returns what a script in the page comes to.
    ///
    /// # Panics
    ///
    /// If it throws.
    pub async fn evaluate(&mut self, script: &str) -> Value {
        let what = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", what).await;
        assert!(answer.get("exceptionDetails").is_none(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Panics
    ///
    /// If it throws, or is not true in time.
    pub async fn until(&mut self, condition: &str) {
        let script = format!(
            "new Promise((done) => {{
               const begun = Date.now();
               const look = () => {{
                 const met = Boolean({condition});
                 if (met || Date.now() - begun > 30000) done(met);
                 else setTimeout(look, 20);
               }};
               look();
             }})"
        );
        let met = self.evaluate(&script).await;
        assert_eq!(met, true, "not in time: {condition}");
    }

    /// Presses and lets go a key that writes this text.
    ///
    /// # Panics
    ///
    /// If the browser does not answer.
    pub async fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let what = json!({ "type": kind, "key": key, "text": key });
            self.call("Input.dispatchKeyEvent", what).await;
        }
    }

    /// Returns what the elements that match look like, with the text that stands for each.
    ///
    /// # Panics
    ///
    /// If the page has none that can be seen, or a picture cannot be read.
    pub async fn pictures(&mut self, selector: &str) -> Vec<(String, Picture)> {
        let boxes = format!(
            "[...document.querySelectorAll({selector:?})].map((one) => {{
               const box = one.getBoundingClientRect();
               return {{ name: one.getAttribute('aria-label'), x: box.x + scrollX,
                 y: box.y + scrollY, width: box.width, height: box.height, scale: 1 }};
             }})"
        );
        let boxes = self.evaluate(&boxes).await;
        let mut pictures = Vec::new();
        for mut part in boxes.as_array().expect("a list").clone() {
            let name = part["name"].take().as_str().unwrap_or_default().to_owned();
            let what = json!({ "clip": part, "captureBeyondViewport": true });
            pictures.push((name, Picture::read(&self.screenshot(what).await)));
        }
        pictures
    }

    /// Returns a picture of the whole page as a PNG file.
    ///
    /// # Panics
    ///
    /// If the browser does not answer.
    pub async fn whole(&mut self) -> Vec<u8> {
        let size = "({ x: 0, y: 0, width: document.documentElement.clientWidth,
            height: document.documentElement.scrollHeight, scale: 1 })";
        let clip = self.evaluate(size).await;
        self.screenshot(json!({ "clip": clip, "captureBeyondViewport": true })).await
    }

    /// Returns what the page has complained of: errors, violations of its policy, and anything else
    /// on the console.
    #[must_use]
    pub fn complaints(&self) -> Vec<&Value> {
        let of = ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"];
        self.events.iter().filter(|event| of.iter().any(|name| event["method"] == *name)).collect()
    }

    /// Returns the addresses that the page has asked for.
    #[must_use]
    pub fn requests(&self) -> Vec<&str> {
        let sent =
            self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.filter_map(|event| event["params"]["request"]["url"].as_str()).collect()
    }

    async fn screenshot(&mut self, what: Value) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", what).await;
        STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64")
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        let bytes = format!("{call}\0");
        self.to.write_all(bytes.as_bytes()).await.expect("the browser is there");
        loop {
            let mut message = self.next().await;
            if message["id"] == self.calls {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    async fn next(&mut self) -> Value {
        let mut message = Vec::new();
        let read = timeout(PATIENCE, self.from.read_until(0, &mut message)).await;
        let length = read.expect("the browser answers").expect("its pipe works");
        assert!(length > 0, "the browser has ended: is chromium installed?");
        message.pop();
        serde_json::from_slice(&message).expect("JSON")
    }
}

impl Picture {
    fn read(file: &[u8]) -> Self {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("it has a size")];
        let info = reader.next_frame(&mut bytes).expect("a picture");
        let samples = info.color_type.samples();
        let pixels = bytes[..info.buffer_size()].chunks_exact(samples);
        Self { pixels: pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect() }
    }

    /// Returns how many pixels have nearly this colour.
    #[must_use]
    pub fn count(&self, colour: [u8; 3]) -> usize {
        let near = |pixel: &&[u8; 3]| pixel.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 40);
        self.pixels.iter().filter(near).count()
    }
}
