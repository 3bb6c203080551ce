"""The settings of SAELens's cfg.json: those that its reader follows, and those that only tell of the training."""

from __future__ import annotations

from misdirection.features.formats.settings import words

HOOKS = ("hook_name", "hook_point", "hf_hook_name")
"""Where the hook's name stands, the first that is there."""

FOLLOWED = words(
    """
    architecture activation_fn activation_fn_str activation_fn_kwargs k apply_b_dec_to_input finetuning_scaling_factor
    normalize_activations rescale_acts_by_decoder_norm reshape_activations d_in d_sae metadata hook_head_index
    hook_point_head_index hook_name_out model_from_pretrained_kwargs model_name
    """
).union(HOOKS)

HARMLESS = words(
    """
    act_store_device activations_mixing_fraction adam_beta1 adam_beta2 autocast autocast_data autocast_lm autocast_sae
    aux_loss_coefficient b_dec_init_method begin_batch_token begin_sequence_token buffer_size_gb
    cached_activations_path checkpoint_path compile_llm compile_sae context_size d_out dataset_path
    dataset_trust_remote_code dead_feature_threshold dead_feature_window decoder_heuristic_init
    decoder_heuristic_init_norm decoder_init_norm decoder_orthogonal_init device disable_concat_sequences dtype
    eval_batch_size_prompts eval_every_n_wandb_logs exclude_special_tokens expansion_factor feature_sampling_window
    finetuning_method finetuning_tokens from_pretrained_path hf_hook_name_out hf_is_private_repo hf_num_shards
    hf_repo_id hf_revision hook_eval hook_head_index_out hook_layer hook_point_eval hook_point_layer
    init_encoder_as_decoder_transpose is_dataset_tokenized jumprelu_bandwidth jumprelu_init_threshold
    jumprelu_sparsity_loss_mode jumprelu_ste_to_input jumprelu_tanh_scale l0_coefficient l0_warm_up_steps
    l1_coefficient l1_warm_up_steps llm_batch_size llm_compilation_mode llm_device log_activations_store_to_wandb
    log_optimizer_state_to_wandb log_to_wandb log_weights_to_wandb logger lp_norm lr lr_decay_steps lr_end
    lr_scheduler_name lr_warm_up_steps matryoshka_widths model_batch_size model_class_name model_kwargs
    mse_loss_normalization n_batches_for_norm_estimate n_batches_in_buffer n_checkpoints n_eval_batches
    n_restart_cycles neuronpedia_id new_cached_activations_path noise_scale normalize_sae_decoder output_path
    pre_act_loss_coefficient prefetch_llm_batches prepend_bos resume resume_from_checkpoint run_name
    sae_compilation_mode sae_lens_training_version sae_lens_version save_final_checkpoint save_path
    scale_sparsity_penalty_by_decoder_norm seed seqpos_slice sequence_separator_token store_batch_size_prompts
    streaming target_l0 tokens_per_buffer topk_threshold_lr total_training_samples total_training_steps
    total_training_tokens train_batch_size train_batch_size_samples train_batch_size_tokens training_architecture
    training_architecture_details training_tokens use_cached_activations use_chat_formatting use_error_term
    use_ghost_grads use_matryoshka_aux_loss use_sparse_activations verbose wandb_entity wandb_id wandb_log_frequency
    wandb_project
    """
)
