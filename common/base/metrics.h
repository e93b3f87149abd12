// Prometheus metrics of the process.
//
//   static auto& sent = CounterFamily("im_messages_total", "Messages stored.").Add({});
//   sent.Increment();
//
// Thread-safe. Names follow Prometheus' conventions: im_ first, the unit and _total last.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace im {

prometheus::Family<prometheus::Counter>& CounterFamily(const std::string& name,
                                                       const std::string& help);
prometheus::Family<prometheus::Gauge>& GaugeFamily(const std::string& name,
                                                   const std::string& help);
prometheus::Family<prometheus::Histogram>& HistogramFamily(const std::string& name,
                                                           const std::string& help);

// Bucket bounds in seconds, from 0.5 ms to 10 s.
prometheus::Histogram::BucketBoundaries LatencyBuckets();

// Serves /metrics on `listen` ("127.0.0.1:9101") for as long as it lives; null if `listen` is
// empty.
absl::StatusOr<std::unique_ptr<prometheus::Exposer>> ServeMetrics(const std::string& listen);

}  // namespace im
