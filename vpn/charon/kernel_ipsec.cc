// SPDX-License-Identifier: GPL-2.0-or-later
//
// What charon calls in place of the kernel, turned into messages for the gateway. Runs on charon's
// threads; nothing here waits but add_sa for its acknowledgement. No exception and no cancellation
// of a thread may cross into C.
#include "vpn/charon/kernel_ipsec.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <pthread.h>
#include <string>
#include <vector>

#include "vpn/charon/gateway_link.h"
#include "vpn/charon/sa_protocol.h"

namespace hnv::charon {
namespace {

namespace wire = sa_protocol;

void say(int level, const char* what) { dbg(kDebugKernel, level, "hnv-gateway: %s", what); }

uint32_t swapped(uint32_t value) { return __builtin_bswap32(value); }

std::optional<wire::Endpoint> endpoint(Host* host) {
  if (host == nullptr) return std::nullopt;
  const Chunk address = host->get_address(host);
  const int family = host->get_family(host);
  wire::Endpoint out;
  if (family == AF_INET && address.size == 4) {
    out.family = 4;
  } else if (family == AF_INET6 && address.size == 16) {
    out.family = 6;
  } else {
    return std::nullopt;
  }
  std::memcpy(out.address, address.bytes, address.size);
  out.port = host->get_port(host);
  return out;
}

// To be given back with destroy().
Host* host_of(const wire::Endpoint& from) {
  wire::Endpoint copy = from;
  const bool v4 = from.family == 4;
  return host_create_from_chunk(v4 ? AF_INET : AF_INET6,
                                {copy.address, v4 ? size_t{4} : size_t{16}}, from.port);
}

bool add_selectors(List* list, std::vector<wire::Selector>& out, uint16_t& count) {
  if (list == nullptr) return true;
  Enumerator* each = list->create_enumerator(list);
  TrafficSelector* one = nullptr;
  bool good = true;
  while (each->enumerate(each, &one)) {
    wire::Selector selector;
    const Chunk from = one->get_from_address(one);
    const Chunk to = one->get_to_address(one);
    selector.family = one->get_type(one) == 8 ? 6 : 4;
    const size_t size = selector.family == 6 ? 16 : 4;
    good = good && from.size == size && to.size == size && count < wire::kMaxSelectors;
    if (!good) continue;
    std::memcpy(selector.from, from.bytes, size);
    std::memcpy(selector.to, to.bytes, size);
    selector.from_port = one->get_from_port(one);
    selector.to_port = one->get_to_port(one);
    selector.protocol = one->get_protocol(one);
    out.push_back(selector);
    ++count;
  }
  each->destroy(each);
  return good;
}

// Whether the pointers lead where this slice of the interface says: the release was checked, and an
// SA that makes no sense means that the check was wrong.
bool plausible(const SaId& id, const AddSaData& data) {
  constexpr uint16_t kUndefined = 1024;
  const bool aead = data.encryption == 20 || data.encryption == 28;
  const bool cbc = data.encryption == 12 || data.encryption == 3;
  return id.protocol == kEsp && data.mode == kTunnel && data.ipcomp == 0 &&
         data.lifetime != nullptr && (aead || cbc) && data.encryption_key.size <= wire::kMaxKey &&
         data.integrity_key.size <= wire::kMaxKey && data.encryption_key.size >= 16 &&
         (aead ? data.integrity == kUndefined || data.integrity == 0
               : data.integrity >= 2 && data.integrity <= 14) &&
         data.copy_dscp >= 0 && data.copy_dscp <= 3;
}

bool fill(const SaId& id, const AddSaData& data, wire::AddSa& out,
          std::vector<wire::Selector>& selectors) {
  const auto source = endpoint(id.source);
  const auto destination = endpoint(id.destination);
  if (!source || !destination) return false;
  out.spi = swapped(id.spi);
  out.if_id = id.if_id;
  out.reqid = data.reqid;
  const auto flag = [&out](bool set, uint32_t bit) {
    if (set) out.flags |= bit;
  };
  flag(data.inbound, wire::kInbound);
  flag(data.encapsulation, wire::kUdpEncapsulated);
  flag(data.extended_sequence, wire::kExtendedSequence);
  flag(data.copy_df, wire::kCopyDf);
  flag(data.copy_ecn, wire::kCopyEcn);
  flag(data.copy_dscp == 0 || data.copy_dscp == 2, wire::kCopyDscpOut);
  flag(data.initiator, wire::kInitiator);
  out.source = *source;
  out.destination = *destination;
  out.encryption = data.encryption;
  out.integrity = data.integrity;
  out.replay_window = data.replay_window;
  out.lifetimes = {data.lifetime->time.life, data.lifetime->bytes.rekey, data.lifetime->bytes.life,
                   data.lifetime->packets.rekey, data.lifetime->packets.life};
  if (!add_selectors(data.source_selectors, selectors, out.source_selectors) ||
      !add_selectors(data.destination_selectors, selectors, out.destination_selectors)) {
    return false;
  }
  out.encryption_key_size = static_cast<uint8_t>(data.encryption_key.size);
  std::memcpy(out.encryption_key, data.encryption_key.bytes, data.encryption_key.size);
  out.integrity_key_size = static_cast<uint8_t>(data.integrity_key.size);
  if (data.integrity_key.size > 0) {
    std::memcpy(out.integrity_key, data.integrity_key.bytes, data.integrity_key.size);
  }
  return true;
}

class Calls final : public CharonCalls {
 public:
  void expire(const wire::SaName& name, Expiry kind) override {
    Host* destination = host_of(name.destination);
    if (destination == nullptr) return;
    ::charon->kernel->expire(::charon->kernel, kEsp, swapped(name.spi), destination,
                             kind == Expiry::hard);
    destination->destroy(destination);
  }
  void mapping(const wire::SaName& name, const wire::Endpoint& remote) override {
    Host* destination = host_of(name.destination);
    Host* to = host_of(remote);
    if (destination != nullptr && to != nullptr) {
      ::charon->kernel->mapping(::charon->kernel, kEsp, swapped(name.spi), destination, to);
    }
    if (destination != nullptr) destination->destroy(destination);
    if (to != nullptr) to->destroy(to);
  }
  void acquire(uint32_t reqid) override {
    AcquireData nothing{};
    ::charon->kernel->acquire(::charon->kernel, reqid, &nothing);
  }
  void log(const std::string& line) override { say(1, line.c_str()); }
};

struct Backend {
  KernelIpsec functions{};  // first: charon sees a KernelIpsec
  Calls calls;
  std::unique_ptr<GatewayLink> link;
};

GatewayLink& link_of(KernelIpsec* self) { return *reinterpret_cast<Backend*>(self)->link; }

// charon cancels its threads when it ends: not in the midst of ours.
class NoCancel {
 public:
  NoCancel() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NoCancel() { pthread_setcancelstate(before_, nullptr); }
  NoCancel(const NoCancel&) = delete;
  NoCancel& operator=(const NoCancel&) = delete;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

template <class F>
StatusCode guarded(F body) noexcept {
  const NoCancel no_cancel;
  try {
    return body();
  } catch (...) {  // no memory: charon tries again
    return kFailed;
  }
}

int get_features(KernelIpsec*) { return kEspV3Tfc | kNoPolicyUpdates | kSaUseTime; }

StatusCode get_spi(KernelIpsec* self, Host*, Host*, uint8_t, uint32_t* spi) {
  return guarded([&] {
    const auto chosen = link_of(self).next_spi();
    if (!chosen) {
      say(1, "no SPI: the gateway is away, or every index is in use");
      return kFailed;
    }
    *spi = swapped(*chosen);
    return kSuccess;
  });
}

StatusCode get_cpi(KernelIpsec*, Host*, Host*, uint16_t*) { return kFailed; }  // no IPComp

StatusCode add_sa(KernelIpsec* self, SaId* id, AddSaData* data) {
  return guarded([&] {
    wire::AddSa message;
    std::vector<wire::Selector> selectors;
    if (!plausible(*id, *data) || !fill(*id, *data, message, selectors)) {
      explicit_bzero(&message, sizeof message);
      say(0, "an SA that the gateway has no use for is refused");
      return kFailed;
    }
    const GatewayLink::Lifetime lifetime{data->lifetime->time.rekey, data->lifetime->time.life};
    if (link_of(self).add(message, selectors, lifetime)) return kSuccess;
    say(1, "the gateway did not take an SA");
    return kFailed;
  });
}

StatusCode update_sa(KernelIpsec* self, SaId* id, UpdateSaData* data) {
  return guarded([&] {
    const auto destination = endpoint(id->destination);
    const auto new_source = endpoint(data->new_source);
    const auto new_destination = endpoint(data->new_destination);
    if (!destination || !new_source || !new_destination) return kFailed;
    wire::UpdateSa message;
    message.source = *new_source;
    message.destination = *new_destination;
    message.udp_encapsulated = data->new_encapsulation ? 1 : 0;
    return link_of(self).update(swapped(id->spi), *destination, message) ? kSuccess : kNotFound;
  });
}

StatusCode query_sa(KernelIpsec* self, SaId* id, void*, uint64_t* bytes, uint64_t* packets,
                    time_t* last_use) {
  return guarded([&] {
    const auto destination = endpoint(id->destination);
    const auto usage =
        destination ? link_of(self).usage(swapped(id->spi), *destination) : std::nullopt;
    if (!usage) return kNotFound;
    if (bytes != nullptr) *bytes = usage->bytes;
    if (packets != nullptr) *packets = usage->packets;
    if (last_use != nullptr) *last_use = static_cast<time_t>(usage->last_use_seconds);
    return kSuccess;
  });
}

StatusCode del_sa(KernelIpsec* self, SaId* id, void*) {
  return guarded([&] {
    if (const auto destination = endpoint(id->destination)) {
      link_of(self).remove(swapped(id->spi), *destination);
    }
    return kSuccess;
  });
}

StatusCode flush_sas(KernelIpsec* self) {
  return guarded([&] {
    link_of(self).remove_all();
    return kSuccess;
  });
}

// The gateway decides by its routes and by the selectors of the SAs.
StatusCode add_policy(KernelIpsec*, void*, void*) { return kSuccess; }
StatusCode query_policy(KernelIpsec*, void*, void*, time_t*) { return kNotSupported; }
StatusCode del_policy(KernelIpsec*, void*, void*) { return kSuccess; }
StatusCode flush_policies(KernelIpsec*) { return kSuccess; }

// IKE comes to charon through a TUN that carries no ESP.
bool bypass_socket(KernelIpsec*, int, int) { return true; }
bool enable_udp_decap(KernelIpsec*, int, int, uint16_t) { return true; }

void destroy(KernelIpsec* self) { delete reinterpret_cast<Backend*>(self); }

const char* from_environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before there are threads
  return value != nullptr ? value : otherwise;
}

}  // namespace

KernelIpsec* create_kernel_ipsec() {
  try {
    auto backend = std::make_unique<Backend>();
    backend->functions = {get_features,  get_spi,          get_cpi,    add_sa,
                          update_sa,     query_sa,         del_sa,     flush_sas,
                          add_policy,    query_policy,     del_policy, flush_policies,
                          bypass_socket, enable_udp_decap, destroy};
    GatewayLink::Options options;
    options.path = from_environment("HNV_GATEWAY_SA_SOCKET", "/run/hnv-gateway/ike/sa");
    options.gateway =
        static_cast<uid_t>(std::strtoul(from_environment("HNV_GATEWAY_UID", "0"), nullptr, 10));
    backend->link = std::make_unique<GatewayLink>(options, backend->calls);
    return &backend.release()->functions;
  } catch (...) {
    return nullptr;
  }
}

}  // namespace hnv::charon
