// SPDX-License-Identifier: Apache-2.0
//
// The heap of the process is jemalloc's, in transparent huge pages: tables of thousands of
// compartments lie in it, and with 4 KiB pages the processor's address translation would miss on
// nearly every line of them. jemalloc reads this variable when it starts (jemalloc(3), TUNING).
extern "C" {
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): jemalloc's name and type
extern const char* malloc_conf;
const char* malloc_conf = "thp:always,metadata_thp:auto,background_thread:false";
}
