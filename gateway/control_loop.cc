// SPDX-License-Identifier: Apache-2.0
#include "gateway/control_loop.h"

#include <algorithm>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <utility>

#include <spdlog/spdlog.h>

#include "gateway/ike_packets.h"
#include "gateway/nat_state_file.h"

namespace hnv {
namespace {

// The rings of the workers are looked at this often when nothing else wakes the loop.
constexpr int kPollMilliseconds = 1;
constexpr Duration kTick = std::chrono::milliseconds(100);
constexpr unsigned kPuntsAtOnce = 256;
// A change is made in stretches of at most this long, and a few of its steps; others wait no
// longer.
constexpr Duration kStretch = std::chrono::milliseconds(1);
constexpr unsigned kStepsBetweenLooks = 16;
constexpr Duration kLongStretch = std::chrono::milliseconds(3);
constexpr size_t kReleasesAtOnce = 1024;
constexpr size_t kTurnsAtOnce = 64;
// How long frames from a record's previous PA are still accepted, from when the change is live.
constexpr Duration kMovedGrace = std::chrono::seconds(1);

}  // namespace

Instant ControlLoop::now() { return worker_clock(); }

Worker::Config ControlLoop::config_of_worker(unsigned worker) const {
  Worker::Config config;
  config.worker = worker;
  config.lcore = bootstrap_.worker_lcores[worker];
  for (unsigned p = 0; p < ports_.size(); ++p) {
    config.ports.push_back(
        {ports_[p].dpdk_id(), share_of(p, ports_[p].queues(), worker, context_.workers)});
  }
  config.busy_poll = bootstrap_.busy_poll;
  config.nat_sessions = bootstrap_.nat.sessions;
  // A quarter of the buffers, over all workers.
  config.shaped_packets =
      std::clamp(bootstrap_.packet_buffers / 4 / context_.workers, 64U, Shaper::kPackets);
  return config;
}

ControlLoop::ControlLoop(Parts parts)
    : bootstrap_(parts.bootstrap),
      eal_(parts.eal),
      ports_(parts.ports),
      gateway_mac_(parts.choices.gateway_mac),
      rcu_(static_cast<uint32_t>(parts.bootstrap.worker_lcores.size())),
      handoffs_(static_cast<unsigned>(parts.bootstrap.worker_lcores.size())) {
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd_ < 0) throw std::runtime_error("the kernel gives no eventfd");
  context_.workers = static_cast<unsigned>(bootstrap_.worker_lcores.size());
  context_.next_uid = &next_uid_;
  context_.pause = [this](Neighbors::Actions& actions) {
    if (!due()) return;
    resolver_->act(std::exchange(actions, {}));
    serve(now());
  };
  for (uint32_t i = 0; i < ports_.size(); ++i) {
    const PortConfig& port = ports_[i].config();
    context_.ports.emplace(port.name,
                           CompileContext::PortFacts{PortId(i), ports_[i].mac(), port.mtu});
  }
  compiled_ = compile_nothing(context_);
  published_ = std::make_unique<Published<Dataplane>>(rcu_, [this] {
    Dataplane first;
    copy_tables(*compiled_, first);
    return std::make_shared<const Dataplane>(std::move(first));
  }());
  for (unsigned i = 0; i < context_.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(config_of_worker(i), rcu_, *published_, handoffs_));
  }
  watches_.resize(context_.workers);
  nat_ = std::make_unique<NatControl>(bootstrap_.nat, workers_);
  const auto hand_over = [this](rte_mbuf* mbuf) { return inject(mbuf); };
  addresses_ = std::make_unique<AddressWatch>(next_hops_, eal_.packets(), hand_over);
  resolver_ = std::make_unique<Resolver>(next_hops_, *addresses_, eal_.packets(), hand_over);
  advertiser_ = std::make_unique<RouterAdvertiser>(eal_.packets(), hand_over);
  tuns_ = std::make_unique<DomainTuns>(eal_.packets(), context_.workers, hand_over);
  ipsec_ = std::make_unique<IpsecControl>(std::move(parts.ike), [this] { publish(); });
  bfd_ = std::make_unique<BfdControl>(
      eal_.packets(), context_.workers, hand_over,
      [this](const BfdControl::Path& path, BfdState state) { bgp_->bfd_turned(path, state); });
  bgp_ = std::make_unique<BgpGateway>(
      std::move(parts.bgp), *bfd_,
      BgpGateway::Events{[this](CompartmentId domain, uint64_t uid, OwnedFd tun) {
                           tuns_->add(domain, uid, std::move(tun));
                         },
                         [this](uint64_t uid) { tuns_->remove(uid); }});
  const Model nothing;
  prepare(nothing, *parts.model, differences(nothing, *parts.model))();
  changes_ = std::make_unique<ChangeQueue>(
      parts.model, parts.store, parts.catalog, parts.choices,
      [this](const ModelPtr& before, const ModelPtr& after, const std::vector<Touched>& touched)
          -> Result<ChangeQueue::Publish> { return prepare(*before, *after, touched); },
      [this] {
        if (due()) serve(now());
      });
}

ControlLoop::~ControlLoop() {
  for (auto& worker : workers_) {
    rte_mbuf* mbuf = nullptr;
    while (worker->punted().pop(&mbuf, 1) == 1) rte_pktmbuf_free(mbuf);
    while (worker->to_inject().pop(&mbuf, 1) == 1) rte_pktmbuf_free(mbuf);
  }
  close(wake_fd_);
}

unsigned ControlLoop::sender_of(PortId port) const {
  return workers_.front()->config().ports[port.value()].queues.sender;
}

bool ControlLoop::inject(rte_mbuf* mbuf) {
  // A whole frame at the worker that sends on its port. Any other where it was, in its own order.
  const SideNote& note = side_note(*mbuf);
  const unsigned worker = note.complete_frame ? sender_of(PortId(mbuf->port)) : note.worker;
  if (workers_[worker]->to_inject().push(&mbuf, 1) == 0) return false;
  handoffs_.wake(worker);
  return true;
}

void ControlLoop::stop() {
  stop_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof one);
}

void ControlLoop::run() {
  next_tick_ = now() + kTick;
  running_ = true;
  while (!stop_.load(std::memory_order_acquire)) {
    std::vector<pollfd> fds{{wake_fd_, POLLIN, 0}, {changes_->wake_fd(), POLLIN, 0}};
    ipsec_->add_to(fds);
    bgp_->add_to(fds);
    tuns_->add_to(fds);
    (void)poll(fds.data(), fds.size(), to_release_.empty() ? kPollMilliseconds : 0);
    uint64_t woken = 0;
    (void)!read(wake_fd_, &woken, sizeof woken);
    served_at_ = now();
    changes_->step();
    release_some();
    serve(now());
  }
  say_farewell();
  running_ = false;
  changes_->stop();
  {
    const std::scoped_lock lock(questions_mutex_);
    answering_ = false;
  }
  answer_questions();
}

bool ControlLoop::due() {
  return running_ && ++steps_ % kStepsBetweenLooks == 0 && now() - served_at_ >= kStretch;
}

void ControlLoop::serve(Instant at) {
  if (at - served_at_ >= kLongStretch) {
    spdlog::debug("control: others waited {:.1f} ms for a change",
                  1000 * in_seconds(at - served_at_));
  }
  take_punts(at);
  if (at >= next_tick_) on_timer(at);
  turn_routes();
  serve_tunnels(at);
  serve_bgp(at);
  tuns_->step(root_.compartments);
  publish_if_dirty();
  resolver_->flush();
  published_->sweep(token_);
  roots_waiting_.store(published_->waiting(), std::memory_order_relaxed);
  answer_questions();
  served_at_ = now();
}

void ControlLoop::answer_questions() {
  std::vector<std::function<void()>> questions;
  {
    const std::scoped_lock lock(questions_mutex_);
    questions.swap(questions_);
  }
  for (const auto& question : questions) question();
}

void ControlLoop::take_punts(Instant at) {
  for (auto& worker : workers_) {
    for (unsigned i = 0; i < kPuntsAtOnce; ++i) {
      rte_mbuf* mbuf = nullptr;
      if (worker->punted().pop(&mbuf, 1) == 0) break;
      if (side_note(*mbuf).punt_for == PuntFor::charon) {
        if (ipsec_->takes_ike()) give_to_charon(ipsec_->tun(), *mbuf);
        rte_pktmbuf_free(mbuf);
      } else if (side_note(*mbuf).punt_for == PuntFor::terminated) {
        if (!bfd_->take(*mbuf, at)) tuns_->give(*mbuf);
        rte_pktmbuf_free(mbuf);
      } else if (side_note(*mbuf).router_solicitation()) {
        advertiser_->solicited(*mbuf, at);
        rte_pktmbuf_free(mbuf);
      } else {
        resolver_->take(mbuf, *compiled_, at);
      }
    }
  }
}

void ControlLoop::on_timer(Instant at) {
  next_tick_ = at + kTick;
  resolver_->tick(at);
  Neighbors::Actions actions;
  addresses_->tick(at, actions);
  resolver_->act(actions);
  advertiser_->tick(*changes_->current(), *compiled_, root_.next_hops, at);
  watch_workers(at);
  nat_->tick(*compiled_, worker_clock());
  if (trace_) drain_trace();
  // A migration's second is over. Not while a compilation is under way: it builds on what there is.
  if (under_way_) return;
  if (const uint64_t swept = nat_->swept(); compiled_->nat->rests_until(swept)) {
    auto next = with_nat_swept(compiled_, swept);
    const std::scoped_lock lock(compiled_mutex_);
    compiled_ = std::move(next);
    root_dirty_ = true;
  }
  std::set<std::string> over;
  while (!moved_.empty() && moved_.front().until <= at) {
    over.insert(moved_.front().domain);
    moved_.pop_front();
  }
  if (over.empty()) return;
  auto next = with_moved(compiled_, over, moved_);
  const std::scoped_lock lock(compiled_mutex_);
  compiled_ = std::move(next);
  root_dirty_ = true;
}

// Routes leave next hops that have failed, and come back. Not while a compilation is under way,
// as above.
void ControlLoop::turn_routes() {
  if (under_way_) return;
  const std::vector<NextHopTarget> turned = next_hops_.take_turned(kTurnsAtOnce);
  if (turned.empty()) return;
  for (const NextHopTarget& target : turned) {
    const OutLink* link = next_hops_.link(target.link);
    if (link == nullptr || link->domain.empty()) continue;
    spdlog::info("{}: next hop {} {}", link->name, target.address.to_string(),
                 next_hops_.has_failed(target) ? "does not answer" : "answers again");
  }
  auto next = with_turned(compiled_, turned, next_hops_);
  if (next != compiled_) put_live(std::move(next), now());
}

void ControlLoop::put_live(std::shared_ptr<const Compiled> next, Instant at) {
  {
    const std::scoped_lock lock(compiled_mutex_);
    compiled_ = std::move(next);
  }
  bgp_->configure(compiled_, at);
  root_dirty_ = true;
}

void ControlLoop::watch_workers(Instant at) {
  for (unsigned w = 0; w < workers(); ++w) {
    const unsigned lcore = workers_[w]->config().lcore;
    switch (watches_[w].look(workers_[w]->breaths(), at)) {
      case WorkerWatch::News::none:
        break;
      case WorkerWatch::News::stuck:
        stuck_.fetch_or(uint64_t{1} << w, std::memory_order_relaxed);
        spdlog::error(
            "worker {} on lcore {} is stuck: no breath for {} ms", w, lcore,
            std::chrono::duration_cast<std::chrono::milliseconds>(WorkerWatch::kPatience).count());
        break;
      case WorkerWatch::News::recovered:
        stuck_.fetch_and(~(uint64_t{1} << w), std::memory_order_relaxed);
        spdlog::warn(
            "worker {} on lcore {} breathes again, after {} ms", w, lcore,
            std::chrono::duration_cast<std::chrono::milliseconds>(watches_[w].missed()).count());
        break;
    }
  }
}

class ControlLoop::UnderWay {
 public:
  UnderWay(ControlLoop& control, Compilation compilation)
      : control_(control), compilation_(std::move(compilation)) {}
  ~UnderWay() {
    if (!published_) control_.abandon_change(compilation_);
  }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;
  UnderWay(UnderWay&&) = delete;
  UnderWay& operator=(UnderWay&&) = delete;

  void ask_for_neighbors() { control_.resolver_->act(compilation_.actions); }
  void publish() {
    control_.publish_change(compilation_);
    published_ = true;
  }

 private:
  ControlLoop& control_;
  Compilation compilation_;
  bool published_ = false;
};

ChangeQueue::Publish ControlLoop::prepare(const Model& before, const Model& after,
                                          const std::vector<Touched>& touched) {
  // From here on a migration's end has to wait: this builds on what is compiled now.
  under_way_ = true;
  auto change = std::make_shared<UnderWay>(
      *this, hnv::compile(compiled_, before, after, touched, context_, next_hops_, now()));
  // Before the commit: the next hops' addresses are on their way when the change goes live.
  change->ask_for_neighbors();
  return [change] { change->publish(); };
}

// Before what was is given back.
void ControlLoop::advertise_changes(const Compilation& done, Instant at) {
  const ModelPtr model = changes_ == nullptr ? nullptr : changes_->current();
  for (const std::string& name : done.structural) {
    const auto* before = compiled_->domains.find(name);
    const auto* after = done.next->domains.find(name);
    advertiser_->changed(before == nullptr ? nullptr : before->get(),
                         after == nullptr ? nullptr : after->get(),
                         model == nullptr ? nullptr : model->domain(name), root_.next_hops, at);
  }
}

void ControlLoop::publish_change(Compilation& done) {
  under_way_ = false;
  const Instant at = now();
  advertise_changes(done, at);
  Neighbors::Actions actions;
  for (const auto& link : done.new_links) addresses_->set_link(link, at, actions);
  to_release_.insert(to_release_.end(), done.released.begin(), done.released.end());
  if (!done.gone_links.empty()) {
    // Their ids are given anew: nothing of them may be left.
    for (const NextHopId id : std::exchange(to_release_, {})) next_hops_.release(id, actions);
  }
  for (const LinkId link : done.gone_links) addresses_->remove_link(link, actions);
  for (MovedUntil& moved : done.moved) {
    moved.until = at + kMovedGrace;
    moved_.push_back(std::move(moved));
  }
  {
    const std::scoped_lock lock(compiled_mutex_);
    compiled_ = std::move(done.next);
  }
  nat_->learn_names(*compiled_);
  ipsec_->configure(compiled_, at);
  bgp_->configure(compiled_, at);
  resolver_->act(actions);
  root_dirty_ = true;
  publish_if_dirty();
}

void ControlLoop::abandon_change(const Compilation& lost) {
  under_way_ = false;
  to_release_.insert(to_release_.end(), lost.acquired.begin(), lost.acquired.end());
}

void ControlLoop::release_some() {
  if (to_release_.empty()) return;
  Neighbors::Actions actions;
  for (size_t i = 0; i < kReleasesAtOnce && !to_release_.empty(); ++i) {
    next_hops_.release(to_release_.front(), actions);
    to_release_.pop_front();
  }
  resolver_->act(actions);
}

void ControlLoop::publish_if_dirty() {
  if (root_dirty_ || next_hops_.dirty() || addresses_->version() != addresses_published_) publish();
}

void ControlLoop::publish() {
  next_hops_.publish_into(root_.next_hops, root_.links);
  root_.serial = publishes_.fetch_add(1, std::memory_order_relaxed) + 1;
  copy_tables(*compiled_, root_);
  root_.ipsec = plan_of(*compiled_->ipsec, ipsec_->sas());
  const AddressTables tables = addresses_->usable({compiled_->attachments, compiled_->l3});
  addresses_published_ = addresses_->version();
  root_.l3 = tables.l3;
  root_.attachments = tables.attachments;
  root_.trace = trace_ ? trace_->packets : nullptr;
  published_->publish(std::make_shared<const Dataplane>(root_), token_);
  root_dirty_ = false;
}

tl::expected<Applied, ChangeError> ControlLoop::apply(Change change) {
  return changes_->submit(std::move(change));
}

std::shared_ptr<const ConfigSnapshot> ControlLoop::config() const { return changes_->current(); }

std::shared_ptr<const Compiled> ControlLoop::compiled() const {
  const std::scoped_lock lock(compiled_mutex_);
  return compiled_;
}

void ControlLoop::drain_trace() const {
  for (unsigned w = 0; w < trace_->packets->workers(); ++w) {
    TraceRecord record;
    while (trace_->events.size() < trace_->filter.limit &&
           trace_->packets->worker(w).ring().pop(&record, 1) == 1) {
      trace_->events.push_back(to_event(record, w, trace_->begin));
    }
  }
}

void ControlLoop::restore_nat(const std::string& path) {
  const NatPlan& plan = *compiled_->nat->plan;
  const auto kept = restore_nat_sessions(path, plan, nat_->tables(), worker_clock());
  if (!kept) {
    spdlog::error("NAT: its sessions are lost: {}", kept.error().message);
  } else if (kept->found) {
    spdlog::info("NAT: {} sessions go on after {:.1f} s, {} do not fit any more", kept->restored,
                 kept->away_seconds, kept->left_out);
  } else if (plan.serial != 0) {
    spdlog::warn("NAT: no sessions were kept: the gateway was not ended as planned, or never ran");
  }
}

void ControlLoop::save_nat(const std::string& path) {
  const NatPlan& plan = *compiled_->nat->plan;
  if (plan.serial == 0) return;
  const auto saved = save_nat_sessions(path, plan, nat_->tables(), worker_clock());
  if (saved) {
    spdlog::info("NAT: {} sessions are kept for the next start", *saved);
  } else {
    spdlog::error("NAT: its sessions are lost: {}", saved.error().message);
  }
  nat_->tick(*compiled_, worker_clock());
}

Result<void> ControlLoop::set_trace(std::optional<TraceFilter> filter) {
  const auto current = compiled();
  const auto* domain = filter ? current->domains.find(filter->domain) : nullptr;
  if (filter && domain == nullptr) {
    return fail(ErrorCode::unfit, "no such routing domain: " + filter->domain, "/routingDomain");
  }
  const uint64_t uid = domain != nullptr ? (*domain)->view->uid : 0;
  return ask([&]() -> Result<void> {
    trace_.reset();
    root_dirty_ = true;
    if (!filter) return {};
    TraceMatch match{.compartment_uid = uid,
                     .source = {},
                     .destination = {},
                     .protocol = filter->protocol,
                     .source_port = filter->source_port,
                     .destination_port = filter->destination_port};
    match.source = filter->source;
    match.destination = filter->destination;
    trace_ = std::make_unique<Trace>();
    trace_->filter = *filter;
    trace_->begin = worker_clock();
    trace_->packets = std::make_shared<PacketTrace>(match, filter->limit, context_.workers);
    publish();  // on when the answer is sent
    return {};
  });
}

TraceState ControlLoop::trace() const {
  return ask([this] {
    TraceState state;
    if (!trace_) return state;
    drain_trace();
    state.filter = trace_->filter;
    state.events = trace_->events;
    for (unsigned w = 0; w < trace_->packets->workers(); ++w) {
      state.missed += trace_->packets->worker(w).missed();
    }
    return state;
  });
}

}  // namespace hnv
