// SPDX-License-Identifier: Apache-2.0
#include "vpn/ipsec_worker.h"

namespace hnv {
namespace {

constexpr uint64_t kBetweenNotices = 1'000'000'000;  // nanoseconds

}  // namespace

bool TunnelWaiters::add(const TunnelView& tunnel, const Reentry& entry, Instant now) {
  if (count_ == kPackets || tunnel.meters->waiting >= kPacketsEach) return false;
  waiters_[count_++] = {
      .entry = entry, .tunnel = tunnel.id, .tunnel_uid = tunnel.uid, .until = now + kLongest};
  ++tunnel.meters->waiting;
  return true;
}

template <class Lose>
void TunnelWaiters::settle(const IpsecPlan& plan, ReentryQueue& reentry, Instant now, Lose lose) {
  if (count_ == 0 || (plan.serial == seen_ && now < waiters_[0].until)) return;
  unsigned kept = 0;
  bool all = true;
  for (unsigned i = 0; i < count_; ++i) {
    const Waiter& waiter = waiters_[i];
    const TunnelView* tunnel = plan.tunnels[waiter.tunnel.value()].get();
    const bool there = tunnel != nullptr && tunnel->uid == waiter.tunnel_uid;
    const bool up = there && plan.sas.outbound[tunnel->if_id()] != nullptr;
    const bool room = reentry.room() > kVector;
    const bool over = !there || now >= waiter.until;
    if (up ? !room : !over) {
      all = all && !up;
      waiters_[kept++] = waiter;
      continue;
    }
    if (there) --tunnel->meters->waiting;
    if (up) {
      reentry.push(waiter.entry);
    } else {
      lose(waiter.entry.mbuf);
    }
  }
  count_ = kept;
  if (all) seen_ = plan.serial;
}

template <class Lose>
void TunnelWaiters::clear(Lose lose) {
  for (unsigned i = 0; i < count_; ++i) lose(waiters_[i].entry.mbuf);
  count_ = 0;
}

void IpsecWorker::tell(const IpsecNotice& notice, uint64_t& told_at, Instant now) {
  if (told_at != 0 && now.nanoseconds < told_at + kBetweenNotices) return;
  if (notices.push(&notice, 1) == 1) told_at = now.nanoseconds;
}

void tend_ipsec(const IpsecContext& ipsec, Lanes& lanes) {
  ipsec.mine.waiters.settle(ipsec.plan, ipsec.reentry, ipsec.now, [&](rte_mbuf* mbuf) {
    lanes.counters().drops[static_cast<size_t>(DropReason::ipsec_no_sa)].add();
    rte_pktmbuf_free(mbuf);
  });
}

void drain_ipsec(IpsecWorker& mine, WorkerCounters& counters) {
  const auto lose = [&](rte_mbuf* mbuf) {
    counters.drops[static_cast<size_t>(DropReason::draining)].add();
    rte_pktmbuf_free(mbuf);
  };
  mine.waiters.clear(lose);
  mine.shaper.clear(lose);
}

}  // namespace hnv
