use polyperf::compare::{
    Against, Better, Decision, Estimate, Metric, Runs, Thresholds, Verdict, experiment::Experiment,
};

/// Fills in verdicts. They are only made to be looked at: the rules are not those of a test.
pub(super) fn conclude(experiment: &mut Experiment) {
    experiment.verdicts.clear();
    let plan = experiment.plan.clone();
    for metric in Metric::ALL {
        let base = experiment.values(&plan.baseline, metric);
        for arm in &plan.arms {
            let values = experiment.values(&arm.name, metric);
            let known: Vec<f64> = values.iter().copied().flatten().collect();
            let failed = experiment.runs_of(&arm.name).filter(|run| run.failure().is_some());
            let ratios = values.iter().zip(&base).filter_map(|(a, b)| Some((*a)? / (*b)?));
            let ratios: Vec<f64> = ratios.collect();
            experiment.verdicts.push(Verdict {
                metric,
                arm: arm.name.clone(),
                runs: Runs {
                    measured: u32::try_from(known.len()).expect("few runs"),
                    failed: u32::try_from(failed.count()).expect("few runs"),
                },
                median: estimate(&known),
                against_baseline: (arm.name != plan.baseline)
                    .then(|| against(metric, &plan.thresholds, &ratios)),
            });
        }
    }
}

fn against(metric: Metric, thresholds: &Thresholds, ratios: &[f64]) -> Against {
    let ratio = estimate(ratios).filter(|_| ratios.len() >= 6);
    let threshold = metric.threshold(thresholds);
    let sure = ratio.filter(|ratio| ratio.low > 1.0 || ratio.high < 1.0);
    let decision = match sure {
        Some(ratio) if (ratio.value - 1.0).abs() > threshold => {
            let higher = metric.better() == Better::Higher;
            if (ratio.value > 1.0) == higher { Decision::Better } else { Decision::Worse }
        }
        _ => Decision::NoDifferenceShown,
    };
    Against {
        pairs: u32::try_from(ratios.len()).expect("few runs"),
        ratio,
        difference: None,
        p: ratio.map(|_| 0.001),
        p_corrected: ratio.map(|_| 0.005),
        cliffs_delta: None,
        decision,
        could_show: ratio.map(|ratio| (ratio.high - ratio.low) / 2.0),
        blocks_needed: (1..6).contains(&ratios.len()).then_some(9),
    }
}

fn estimate(values: &[f64]) -> Option<Estimate> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted.get(part).copied();
    let middle = sorted.len() / 2;
    let value = match sorted.len() % 2 {
        0 => (at(middle.checked_sub(1)?)? + at(middle)?) / 2.0,
        _ => at(middle)?,
    };
    let cut = usize::from(sorted.len() > 8);
    Some(Estimate { value, low: at(cut)?, high: at(sorted.len() - 1 - cut)? })
}
