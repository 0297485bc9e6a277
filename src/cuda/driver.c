/* driver.c: opening libcuda.so.1, its cards, and what its errors mean. The numbers of results and attributes
 * are part of the driver's ABI. */
#include "cuda/driver.h"

#include <dlfcn.h>
#include <string.h>

enum { /* results */
       OUT_OF_MEMORY = 2,
       NO_DEVICE = 100,
       NO_BINARY_FOR_GPU = 209,
       UNSUPPORTED_PTX = 222,
       SYSTEM_DRIVER_MISMATCH = 803,
};
enum { ATTRIBUTE_MULTIPROCESSORS = 16, ATTRIBUTE_MAJOR = 75, ATTRIBUTE_MINOR = 76 };

enum { OLDEST_DRIVER = 11000 };

#define LIBRARY "libcuda.so.1"

puna_status pn_cuda_check(const pn_cuda_driver *driver, int result, const char *doing,
                          puna_error *err) {
    if (result == 0) return PUNA_OK;
    const char *name = NULL, *text = NULL;
    if (!driver->error_name || driver->error_name(result, &name) != 0 || !name) name = "error";
    if (!driver->error_text || driver->error_text(result, &text) != 0 || !text) text = "";
    switch (result) {
    case OUT_OF_MEMORY: return pn_fail(err, PUNA_E_NOMEM, "%s: the card has no memory left", doing);
    case NO_BINARY_FOR_GPU:
    case UNSUPPORTED_PTX:
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "%s: puna was built without kernels that this card and driver can run (%s)",
                       doing, name);
    default:
        return pn_fail(err, PUNA_E_STATE, "%s: the card failed: %s (%d): %s", doing, name, result,
                       text);
    }
}

static puna_status find_functions(pn_cuda_driver *driver, puna_error *err) {
    static const struct {
        const char *symbol;
        size_t at;
        bool is_optional;
    } functions[] = {
#define FUNCTION(member, symbol, parameters) {#symbol, offsetof(pn_cuda_driver, member), false},
#define OPTIONAL(member, symbol, parameters) {#symbol, offsetof(pn_cuda_driver, member), true},
#include "cuda/driver_functions.def"
#undef FUNCTION
#undef OPTIONAL
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(driver->library, functions[i].symbol);
        if (!function && !functions[i].is_optional)
            return pn_fail(err, PUNA_E_UNSUPPORTED,
                           "the NVIDIA driver is too old: " LIBRARY " has no %s",
                           functions[i].symbol);
        memcpy((char *)driver + functions[i].at, &function, sizeof function);
    }
    return PUNA_OK;
}

static puna_status start(pn_cuda_driver *driver, puna_error *err) {
    driver->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!driver->library)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "no NVIDIA driver on this machine (" LIBRARY " is not found)");
    const puna_status status = find_functions(driver, err);
    if (status != PUNA_OK) return status;
    const int result = driver->init(0);
    if (result == NO_DEVICE)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "an NVIDIA driver is installed, but it finds no card");
    if (result == SYSTEM_DRIVER_MISMATCH)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "the NVIDIA driver's library and kernel module are of different versions");
    if (result != 0) return pn_cuda_check(driver, result, "starting the NVIDIA driver", err);
    const int version = driver->driver_version(&driver->version);
    if (version != 0)
        return pn_cuda_check(driver, version, "asking the NVIDIA driver for its version", err);
    if (driver->version < OLDEST_DRIVER)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "the NVIDIA driver is too old: it speaks CUDA %d.%d, %d.%d is needed",
                       driver->version / 1000, driver->version % 1000 / 10, OLDEST_DRIVER / 1000,
                       OLDEST_DRIVER % 1000 / 10);
    return PUNA_OK;
}

puna_status pn_cuda_driver_open(pn_cuda_driver *driver, puna_error *err) {
    memset(driver, 0, sizeof *driver);
    const puna_status status = start(driver, err);
    if (status != PUNA_OK) pn_cuda_driver_close(driver);
    return status;
}

void pn_cuda_driver_close(pn_cuda_driver *driver) {
    if (driver->library) (void)dlclose(driver->library);
    memset(driver, 0, sizeof *driver);
}

static int look_at_memory(const pn_cuda_driver *driver, int device, pn_cuda_card *card) {
    void *context = NULL;
    int result = driver->context_retain(&context, device);
    if (result != 0) return result;
    size_t free_bytes = 0, total_bytes = 0;
    result = driver->context_set(context);
    if (result == 0) result = driver->memory_info(&free_bytes, &total_bytes);
    card->free_bytes = free_bytes;
    (void)driver->context_set(NULL);
    (void)driver->context_release(device);
    return result;
}

static int look_at_card(const pn_cuda_driver *driver, int32_t ordinal, bool with_memory,
                        pn_cuda_card *card) {
    *card = (pn_cuda_card){.ordinal = ordinal, .driver_version = driver->version};
    int device = 0, major = 0, minor = 0, result = driver->device_get(&device, ordinal);
    size_t total_bytes = 0;
    if (result == 0) result = driver->device_name(card->name, (int)sizeof card->name - 1, device);
    if (result == 0) result = driver->device_attribute(&major, ATTRIBUTE_MAJOR, device);
    if (result == 0) result = driver->device_attribute(&minor, ATTRIBUTE_MINOR, device);
    if (result == 0)
        result =
            driver->device_attribute(&card->n_multiprocessors, ATTRIBUTE_MULTIPROCESSORS, device);
    if (result == 0) result = driver->device_bytes(&total_bytes, device);
    card->compute = 10 * major + minor;
    card->total_bytes = card->free_bytes = total_bytes;
    if (result == 0 && with_memory) result = look_at_memory(driver, device, card);
    return result;
}

puna_status pn_cuda_look(const pn_cuda_driver *driver, int32_t ordinal, bool with_memory,
                         pn_cuda_card *card, puna_error *err) {
    return pn_cuda_check(driver, look_at_card(driver, ordinal, with_memory, card),
                         "looking at the card", err);
}

puna_status pn_cuda_count(const pn_cuda_driver *driver, int32_t *n, puna_error *err) {
    int count = 0;
    const puna_status status =
        pn_cuda_check(driver, driver->device_count(&count), "looking for cards", err);
    if (status != PUNA_OK) return status;
    *n = count;
    if (count > 0) return PUNA_OK;
    return pn_fail(err, PUNA_E_UNSUPPORTED, "an NVIDIA driver is installed, but it finds no card");
}
