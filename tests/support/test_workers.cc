// SPDX-License-Identifier: Apache-2.0
#include "tests/support/test_workers.h"

#include <fmt/format.h>

namespace hnv {

TestWorkers::TestWorkers(unsigned workers) : network_(twin_dataplane(workers)), handoffs_(workers) {
  for (unsigned w = 0; w < workers; ++w) {
    lines_.push_back(std::make_unique<Line>(w, 2, workers));
    exchanges_.emplace_back(handoffs_, w);
    for (unsigned port = 0; port < 2; ++port) {
      lines_[w]->set_sender(port, (port + 1) % workers);
    }
  }
}

void TestWorkers::receive(unsigned worker, unsigned port, const std::vector<Bytes>& frames) {
  std::vector<rte_mbuf*> burst;
  burst.reserve(frames.size());
  for (const Bytes& frame : frames) burst.push_back(mbufs_.take(frame));
  lines_[worker]->receive_spread(burst.data(), static_cast<unsigned>(burst.size()), PortId(port));
  exchanges_[worker].send_out(*lines_[worker]);
}

void TestWorkers::hand(unsigned from, unsigned to, const Handed& handed) {
  Line::Handbox& box = lines_[from]->handbox(to);
  box.packets[box.count++] = handed;
  exchanges_[from].send_out(*lines_[from]);
}

std::vector<Sent> TestWorkers::turn() {
  std::vector<Sent> out;
  for (unsigned w = 0; w < workers(); ++w) {
    Line& line = *lines_[w];
    exchanges_[w].take_in(line);
    line.run(network_->plane(), network_->clock().now());
    for (unsigned port = 0; port < 2; ++port) {
      Line::Outbox& box = line.outbox(port);
      for (unsigned i = 0; i < box.count; ++i) {
        const auto frame = bytes_of(*box.packets[i]);
        out.push_back({port, Bytes(frame.begin(), frame.end())});
        rte_pktmbuf_free(box.packets[i]);
      }
      line.sent(port, box.count);
    }
    Line::Outbox& punts = line.punts();
    for (unsigned i = 0; i < punts.count; ++i) rte_pktmbuf_free(punts.packets[i]);
    line.punted(punts.count);
    exchanges_[w].send_out(line);
  }
  return out;
}

std::vector<Sent> TestWorkers::settle() {
  std::vector<Sent> out;
  for (unsigned quiet = 0, turns = 0; quiet < 4 && turns < 10'000; ++turns) {
    std::vector<Sent> sent = turn();
    quiet = sent.empty() && handoffs_.waiting() == 0 ? quiet + 1 : 0;
    for (Sent& s : sent) out.push_back(std::move(s));
  }
  return out;
}

uint64_t TestWorkers::drops(DropReason reason) const {
  uint64_t sum = 0;
  for (const auto& line : lines_) {
    sum += line->counters().drops[static_cast<size_t>(reason)].value();
  }
  return sum;
}

uint64_t TestWorkers::sum_of(Counter WorkerCounters::*counter) const {
  uint64_t sum = 0;
  for (const auto& line : lines_) sum += (line->counters().*counter).value();
  return sum;
}

std::string TestWorkers::fault() const {
  uint64_t held = 0;
  for (const auto& line : lines_) {
    const LedgerSums sums = sum(line->counters(), line->held());
    if (!sums.balanced()) {
      return fmt::format("ledger: {} in, {} out, {} held", sums.in, sums.out, sums.held);
    }
    held += line->held();
  }
  const uint64_t out = sum_of(&WorkerCounters::handed_out);
  const uint64_t in = sum_of(&WorkerCounters::handed_in);
  if (out != in + handoffs_.waiting()) {
    return fmt::format("handed out {}, in {}, the rings hold {}", out, in, handoffs_.waiting());
  }
  if (mbufs_.in_use() != held + handoffs_.waiting()) {
    return fmt::format("{} buffers in use, {} held, {} in rings", mbufs_.in_use(), held,
                       handoffs_.waiting());
  }
  return "";
}

}  // namespace hnv
