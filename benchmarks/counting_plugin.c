/* A plugin for QEMU's user-mode emulation that counts instructions.
 *
 *     cc -O2 -shared -fPIC -o counting.so counting_plugin.c
 *     qemu-aarch64 -plugin ./counting.so,out=FILE PROGRAM
 *
 * Each call of getpgid in the program appends a line to FILE: how many instructions it has run so far. The counter is
 * not locked, so the program must have one thread. QEMU's header is not needed; what is used of it is declared here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define GETPGID 155 /* on aarch64, and wherever else Linux has its generic table of system calls */
#define ADD 0       /* the one operation that QEMU runs without a call */

typedef uint64_t plugin_id;
typedef struct block block;
typedef struct machine machine;
typedef void on_block(plugin_id, block *);
typedef void on_call(plugin_id, unsigned cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                     uint64_t, uint64_t, uint64_t);

size_t qemu_plugin_tb_n_insns(const block *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_block *);
void qemu_plugin_register_vcpu_tb_exec_inline(block *, int operation, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, on_call *);

EXPORT int qemu_plugin_version = 1;

static uint64_t executed;
static FILE *out;

/* A block is translated once and run often: what it adds each time is settled here. */
static void translated(plugin_id id, block *code) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(code, ADD, &executed, qemu_plugin_tb_n_insns(code));
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                   uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)cpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != GETPGID) return;
    fprintf(out, "%" PRIu64 "\n", executed);
    fflush(out); /* QEMU ends without closing what plugins have opened */
}

EXPORT int qemu_plugin_install(plugin_id id, const machine *info, int count, char **arguments) {
    (void)info;
    if (count != 1 || strncmp(arguments[0], "out=", 4) != 0) return 1;
    out = fopen(arguments[0] + 4, "w");
    if (!out) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
