//! Whatever the parser accepts prints as an expression that it reads as the same one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_core::promql::parse::{Syntax, parse, parse_metric, parse_selector};
use tocsin_core::promql::pretty::pretty;

fuzz_target!(|text: &str| {
    let syntax = Syntax::everything();
    match parse(text, &syntax) {
        Ok(expr) => {
            let printed = expr.to_string();
            for form in [&printed, &pretty(&expr, 20)] {
                match parse(form, &syntax) {
                    Ok(again) => assert_eq!(again.to_string(), printed),
                    Err(faults) => panic!("{}", faults[0].render(form)),
                }
            }
        }
        Err(faults) => faults.iter().for_each(|fault| drop(fault.render(text))),
    }
    drop((parse_selector(text), parse_metric(text)));
});
