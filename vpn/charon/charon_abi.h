// SPDX-License-Identifier: GPL-2.0-or-later
//
// The slice of strongSwan's binary interface that the plugin uses, on amd64, for the releases 5.9.8
// to 5.9.11 (Debian 12 has 5.9.8, and no headers of it). Objects are structs of function pointers
// whose first argument is the object. 5.9.12 moves three slots of KernelInterface and 6.0.2 the
// members of AddSaData, under the same SONAME: plugin.cc refuses them by symbols that only they
// export.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <sys/socket.h>

namespace hnv::charon {

using StatusCode = int;
inline constexpr StatusCode kSuccess = 0;
inline constexpr StatusCode kFailed = 1;
inline constexpr StatusCode kNotSupported = 4;
inline constexpr StatusCode kNotFound = 6;

struct Chunk {  // chunk_t; returned in two registers
  uint8_t* bytes;
  size_t size;
};
struct Mark {
  uint32_t value, mask;
};

struct Host {  // host_t
  Host* (*clone)(Host*);
  sockaddr* (*get_sockaddr)(Host*);
  socklen_t* (*get_sockaddr_len)(Host*);
  int (*get_family)(Host*);
  bool (*is_anyaddr)(Host*);
  Chunk (*get_address)(Host*);
  uint16_t (*get_port)(Host*);
  void (*set_port)(Host*, uint16_t);
  bool (*ip_equals)(Host*, Host*);
  bool (*equals)(Host*, Host*);
  void (*destroy)(Host*);
};

struct TrafficSelector {  // traffic_selector_t
  TrafficSelector* (*get_subset)(TrafficSelector*, TrafficSelector*);
  TrafficSelector* (*clone)(TrafficSelector*);
  Chunk (*get_from_address)(TrafficSelector*);
  Chunk (*get_to_address)(TrafficSelector*);
  uint16_t (*get_from_port)(TrafficSelector*);
  uint16_t (*get_to_port)(TrafficSelector*);
  int (*get_type)(TrafficSelector*);  // 7 IPv4, 8 IPv6
  uint8_t (*get_protocol)(TrafficSelector*);
};

struct Enumerator {  // enumerator_t
  bool (*enumerate)(Enumerator*, ...);
  void* venumerate;
  void (*destroy)(Enumerator*);
};
struct List {  // linked_list_t
  int (*get_count)(List*);
  Enumerator* (*create_enumerator)(List*);
};

struct Limits {
  uint64_t life, rekey, jitter;
};
struct LifetimeConfig {  // lifetime_cfg_t
  Limits time, bytes, packets;
};

struct SaId {  // kernel_ipsec_sa_id_t
  Host* source;
  Host* destination;
  uint32_t spi;  // network order
  uint8_t protocol;
  Mark mark;
  uint32_t if_id;
};

struct AddSaData {  // kernel_ipsec_add_sa_t
  uint32_t reqid;
  int mode;  // kTunnel
  List* source_selectors;
  List* destination_selectors;
  char* interface;
  LifetimeConfig* lifetime;
  uint16_t encryption;
  Chunk encryption_key;
  uint16_t integrity;
  Chunk integrity_key;
  uint32_t replay_window;
  uint32_t tfc;
  uint16_t ipcomp;
  uint16_t cpi;
  bool encapsulation;
  int hardware_offload;
  Mark mark;
  void* label;
  bool extended_sequence;
  bool copy_df;
  bool copy_ecn;
  int copy_dscp;  // 0 out, 1 in, 2 both, 3 none
  bool initiator;
  bool inbound;
  bool update;
};
inline constexpr int kTunnel = 2;
inline constexpr uint8_t kEsp = 50;

struct UpdateSaData {  // kernel_ipsec_update_sa_t
  uint16_t cpi;
  Host* new_source;
  Host* new_destination;
  bool encapsulation;
  bool new_encapsulation;
  uint32_t new_reqid;
};

static_assert(sizeof(LifetimeConfig) == 72);
static_assert(sizeof(SaId) == 40 && offsetof(SaId, if_id) == 32);
static_assert(sizeof(AddSaData) == 144 && offsetof(AddSaData, encryption) == 40 &&
              offsetof(AddSaData, integrity_key) == 72 &&
              offsetof(AddSaData, encapsulation) == 100 && offsetof(AddSaData, label) == 120 &&
              offsetof(AddSaData, update) == 138);
static_assert(sizeof(UpdateSaData) == 32 && offsetof(UpdateSaData, new_encapsulation) == 25);

struct KernelIpsec {  // kernel_ipsec_t
  int (*get_features)(KernelIpsec*);
  StatusCode (*get_spi)(KernelIpsec*, Host* source, Host* destination, uint8_t protocol,
                        uint32_t* spi);
  StatusCode (*get_cpi)(KernelIpsec*, Host*, Host*, uint16_t*);
  StatusCode (*add_sa)(KernelIpsec*, SaId*, AddSaData*);
  StatusCode (*update_sa)(KernelIpsec*, SaId*, UpdateSaData*);
  StatusCode (*query_sa)(KernelIpsec*, SaId*, void*, uint64_t* bytes, uint64_t* packets,
                         time_t* last_use);
  StatusCode (*del_sa)(KernelIpsec*, SaId*, void*);
  StatusCode (*flush_sas)(KernelIpsec*);
  StatusCode (*add_policy)(KernelIpsec*, void*, void*);
  StatusCode (*query_policy)(KernelIpsec*, void*, void*, time_t*);
  StatusCode (*del_policy)(KernelIpsec*, void*, void*);
  StatusCode (*flush_policies)(KernelIpsec*);
  bool (*bypass_socket)(KernelIpsec*, int fd, int family);
  bool (*enable_udp_decap)(KernelIpsec*, int fd, int family, uint16_t port);
  void (*destroy)(KernelIpsec*);
};
// Features: TFC padding of ESPv3 is accepted; an SA is updated without its policies; since 5.9.10,
// when an SA was used last is asked of the SA.
inline constexpr int kEspV3Tfc = 1;
inline constexpr int kNoPolicyUpdates = 8;
inline constexpr int kSaUseTime = 32;

struct AcquireData {
  TrafficSelector* source;
  TrafficSelector* destination;
  void* label;
};

struct KernelInterface {  // kernel_interface_t
  void* slots[34];
  void (*acquire)(KernelInterface*, uint32_t reqid, AcquireData*);
  void (*expire)(KernelInterface*, uint8_t protocol, uint32_t spi, Host* destination, bool hard);
  void (*mapping)(KernelInterface*, uint8_t protocol, uint32_t spi, Host* destination,
                  Host* remote);
};
struct Daemon {  // daemon_t
  void* socket;
  KernelInterface* kernel;
};

struct Plugin {  // plugin_t
  const char* (*get_name)(Plugin*);
  int (*get_features)(Plugin*, struct Feature**);
  bool (*reload)(Plugin*);
  void (*destroy)(Plugin*);
};
using FeatureCallback = bool (*)(Plugin*, struct Feature*, bool reg, void* data);
struct Feature {  // plugin_feature_t
  enum Kind : int { provide = 0, callback = 4 };
  enum Type : int { none = 0, custom = 30 };
  int kind;
  int type;
  union {
    struct {
      FeatureCallback function;
      void* data;
    } callback;
    const char* custom;
  } argument;
};
static_assert(sizeof(Feature) == 24);

inline constexpr int kDebugKernel = 6;  // DBG_KNL

}  // namespace hnv::charon

extern "C" {
extern hnv::charon::Daemon* charon;
extern void (*dbg)(int group, int level, const char* format, ...);
bool kernel_ipsec_register(hnv::charon::Plugin*, hnv::charon::Feature*, bool, void*);
hnv::charon::Host* host_create_from_chunk(int family, hnv::charon::Chunk address, uint16_t port);
}
