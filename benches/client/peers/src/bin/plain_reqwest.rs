//! A client as one writes it in an afternoon: reqwest, serde_json, one thread, a stamp for every event.
//!
//! `plain_reqwest PORT STREAMS REQUESTS TOKENS`; prints TTFT and gaps in milliseconds as JSON.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::StreamExt;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let &[port, streams, requests, tokens] = &numbers[..] else {
        return Err("usage: plain_reqwest PORT STREAMS REQUESTS TOKENS".into());
    };
    let client = reqwest::Client::builder().tcp_nodelay(true).pool_max_idle_per_host(usize::MAX).build()?;
    let url = format!("http://127.0.0.1:{port}/v1/chat/completions");
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..streams)
        .map(|_| {
            let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while next.fetch_add(1, Ordering::Relaxed) < requests {
                    seen.push(one(&client, &url, tokens).await.map_err(|cause| cause.to_string())?);
                }
                Ok::<_, String>(seen)
            })
        })
        .collect();
    let (mut ttft, mut gaps) = (Vec::new(), Vec::new());
    for worker in workers {
        for times in worker.await?? {
            ttft.extend(times.first().copied());
            gaps.extend(times.windows(2).map(|pair| pair[1] - pair[0]));
        }
    }
    let p = |values: &mut Vec<f64>, q: f64| {
        values.sort_by(f64::total_cmp);
        values.get(((values.len() as f64 * q).ceil() as usize).saturating_sub(1)).copied()
    };
    println!("{}", json!({
        "events": ttft.len() + gaps.len(),
        "ttft_p50_ms": p(&mut ttft, 0.5), "gap_p50_ms": p(&mut gaps, 0.5), "gap_p99_ms": p(&mut gaps, 0.99),
    }));
    Ok(())
}

/// Milliseconds from sending to each event with text.
async fn one(client: &reqwest::Client, url: &str, tokens: u64) -> Result<Vec<f64>, Box<dyn Error + Send + Sync>> {
    let body = json!({
        "model": "mock", "messages": [{"role": "user", "content": "hello"}], "stream": true,
        "stream_options": {"include_usage": true}, "max_tokens": tokens,
    });
    let from = Instant::now();
    let mut stream = client.post(url).json(&body).send().await?.error_for_status()?.bytes_stream();
    let (mut times, mut held) = (Vec::new(), Vec::new());
    while let Some(piece) = stream.next().await {
        held.extend_from_slice(&piece?);
        while let Some(end) = held.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = held.drain(..end + 2).collect();
            let data = event.trim_ascii().strip_prefix(b"data: ").unwrap_or_default();
            let Ok(chunk) = serde_json::from_slice::<Value>(data) else { continue };
            if chunk["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty()) {
                times.push(1e3 * from.elapsed().as_secs_f64());
            }
        }
    }
    Ok(times)
}
